"""The programs that run inside lab hosts: `python -m topologies.traffic PROGRAM ...`.

    receive, send            TCP elephants; the receiver's byte counters are the truth about goodput    elephants.py
    udp-receive, udp-send    numbered datagrams; the receiver counts arrivals and copies                datagrams.py
    mice-serve, mice, probe  small requests, one at a time; `probe` tells which hosts answer at all     mice.py

Each prints JSON lines {"event": ..., "time": seconds since the epoch, ...}; receivers say "ready" when their ports are
open, everyone says "end" with totals when done or on SIGTERM. A flow is written HOST:PORT or HOST:PORT@SOURCE_PORT.
`command` gives the quickest way to start one: no site-packages are searched, because plain sockets need none.
"""

from __future__ import annotations

import argparse
import os
import sys

if not __package__:  # run as a file, as `command` does
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from topologies import datagrams, elephants, mice
from topologies.eventloop import Flow, Loop

MICE_PORT = 7007
PROGRAMS = {
    "receive": elephants.receive,
    "send": elephants.send,
    "udp-receive": datagrams.udp_receive,
    "udp-send": datagrams.udp_send,
    "mice-serve": mice.mice_serve,
    "mice": mice.mice,
    "probe": mice.probe,
}


def command(*words: object) -> list[str]:
    """The command line for a host's popen, e.g. command("send", "10.0.2.1:5001@40001", "--seconds", 10)."""
    return [sys.executable, "-S", os.path.abspath(__file__), *map(str, words)]


def parser() -> argparse.ArgumentParser:
    """The command line of all programs."""
    top = argparse.ArgumentParser(prog="python -m topologies.traffic", description="Traffic inside lab hosts.")
    programs = top.add_subparsers(dest="program", required=True, metavar="PROGRAM")
    for name, program in PROGRAMS.items():
        one = programs.add_parser(name, help=(program.__doc__ or "").partition(":")[0].partition(";")[0].strip("."))
        if name in {"receive", "udp-receive"}:
            one.add_argument("--port", type=int, action="append", required=True, help="may be repeated")
            one.add_argument("--interval", type=float, default=0.1, help="seconds between reports")
        if name in {"mice-serve", "probe"}:
            one.add_argument("--port", type=int, default=MICE_PORT)
        if name == "probe":
            one.add_argument("host", nargs="+")
        if name in {"send", "udp-send", "mice"}:
            one.add_argument("flow", nargs="+", type=Flow.read, help="HOST:PORT or HOST:PORT@SOURCE_PORT")
            one.add_argument("--start", type=float, default=0.0, help="epoch seconds at which to begin")
            one.add_argument("--seconds", type=float, default=10.0)
        if name in {"send", "mice", "probe"}:
            one.add_argument("--patience", type=float, default=5.0, help="seconds to wait for who does not answer")
        _special(name, one)
    return top


def _special(name: str, one: argparse.ArgumentParser) -> None:
    """The options of single programs."""
    if name == "send":
        one.add_argument("--bytes", type=int, help="send so much and wait until it has arrived, instead of --seconds")
        one.add_argument("--congestion", default="cubic", help="TCP congestion control; '' for the system's")
    if name == "udp-receive":
        one.add_argument("--count", type=int, default=0, help="end after so many datagrams")
    if name == "udp-send":
        one.add_argument("--rate", type=float, default=1e6, help="bits/s of UDP payload, per flow")
        one.add_argument("--size", type=int, default=1000, help="bytes of payload")
        one.add_argument("--count", type=int, default=0, help="datagrams per flow, instead of --seconds")
    if name == "mice":
        one.add_argument("--udp", action="store_true", help="datagrams instead of TCP")
        one.add_argument("--gap", type=float, default=0.1, help="seconds from an answer to the next request")
        one.add_argument("--poisson", action="store_true", help="exponential gaps of that mean")
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--size", type=int, default=100, help="bytes of a request")
        one.add_argument("--reply", type=int, default=1000, help="bytes of a reply")
        one.add_argument("--timeout", type=float, default=1.0, help="seconds until a UDP request counts as lost")
        one.add_argument("--count", type=int, default=0, help="requests in all, instead of --seconds")


def main() -> int:
    """Run the program that the command line names; its exit code."""
    options = parser().parse_args()
    try:
        return PROGRAMS[options.program](Loop(), options)
    except OSError as error:
        print(f"{options.program}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
