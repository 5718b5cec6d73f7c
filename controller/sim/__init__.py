"""The controller against model switches in virtual time: `howdah sim --seed S`.

The real conductor, its features and policies, sessions, OpenFlow messages and feed run as they do in the Ryu
application. Replaced are only the edges: switches, cables and hosts (switch.py, network.py), connections
(connection.py), analytics' answers (analytics.py), the clock, and app.py's handlers and loops (process.py). Chance
comes from one seeded generator, handed in: a seed gives the same run, byte for byte, on any machine.

    faults.py --> network, switches, analytics <--> connection, feed <--> process.py (conductor)
                          |
                  simulation.py (clock, story) --> invariants.py after every step
"""
