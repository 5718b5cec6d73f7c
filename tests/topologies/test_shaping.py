"""The tc lines of one interface, spelled out whole."""

from topologies.lab.shaping import tc_lines


def test_two_classes_under_the_links_rate():
    assert tc_lines("leaf1-eth5", 5_000_000, 100) == [
        "qdisc add dev leaf1-eth5 root handle 5: htb default 10",
        "class add dev leaf1-eth5 parent 5: classid 5:1 htb rate 5000000bit ceil 5000000bit "
        "burst 3028 cburst 3028 quantum 1514",
        "class add dev leaf1-eth5 parent 5:1 classid 5:10 htb rate 4992000bit ceil 5000000bit prio 0 "
        "burst 3028 cburst 3028 quantum 1514",
        "class add dev leaf1-eth5 parent 5:1 classid 5:20 htb rate 8000bit ceil 5000000bit prio 7 "
        "burst 3028 cburst 3028 quantum 1514",
        "qdisc add dev leaf1-eth5 parent 5:10 handle 10: pfifo limit 100",
        "qdisc add dev leaf1-eth5 parent 5:20 handle 20: pfifo limit 100",
        "filter add dev leaf1-eth5 parent 5: protocol ip prio 1 u32 match ip dsfield 0x04 0xfc flowid 5:20",
    ]


def test_only_the_rate():
    assert tc_lines("h1-eth0", 1_000_000_000, 50, classes=False) == [
        "qdisc add dev h1-eth0 root handle 5: htb default 1",
        "class add dev h1-eth0 parent 5: classid 5:1 htb rate 1000000000bit ceil 1000000000bit "
        "burst 125000 cburst 125000 quantum 1514",
        "qdisc add dev h1-eth0 parent 5:1 handle 10: pfifo limit 50",
    ]
