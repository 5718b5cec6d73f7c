"""The command line of the traffic programs; the package's docstring describes them."""

from __future__ import annotations

import argparse
import os
import sys

if not __package__:  # run as a file, as `command` does, and isolated: nothing of ours is on the path
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from documents.printable import complain
from topologies.traffic import datagrams, mice, transfers
from topologies.traffic.eventloop import Flow, Loop

MICE_PORT = 7007
PROGRAMS = {
    "receive": transfers.receive,
    "send": transfers.send,
    "udp-receive": datagrams.udp_receive,
    "udp-send": datagrams.udp_send,
    "mice-serve": mice.mice_serve,
    "mice": mice.mice,
    "probe": mice.probe,
}


def parser() -> argparse.ArgumentParser:
    """The command line of all programs."""
    top = argparse.ArgumentParser(prog="traffic", description="Traffic inside lab hosts.")
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
            one.add_argument("--patience", type=float, default=5.0, help="seconds to wait for a first answer")
        _special(name, one)
    return top


def _special(name: str, one: argparse.ArgumentParser) -> None:
    """The options of single programs."""
    if name == "send":
        one.add_argument("--bytes", type=int, help="send so much and wait until it has arrived, instead of --seconds")
        one.add_argument("--in-turn", action="store_true", help="each flow begins when the one before it has ended")
        one.add_argument("--congestion", default="cubic", help="TCP congestion control; '' for the system's")
    if name == "udp-receive":
        one.add_argument("--count", type=int, default=0, help="end after so many datagrams")
        one.add_argument("--pause", type=float, default=0.0, help="seconds of silence from which on to report it")
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
        one.add_argument("--timeout", type=float, default=1.0, help="seconds until a UDP request counts as timed out")
        one.add_argument("--count", type=int, default=0, help="requests in all, instead of --seconds")


def main() -> int:
    """Run the program that the command line names; its exit code."""
    options = parser().parse_args()
    try:
        return PROGRAMS[options.program](Loop(), options)
    except OSError as error:
        complain(f"{options.program}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
