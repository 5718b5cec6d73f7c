"""Measures how elephants are found and steered: every figure with its target, intervals and validity gate.

Each finished measurement is a line in DIR/measurements.jsonl. Started again with the same DIR it goes on with what is
missing, failed, or was measured on a machine too busy (a second of less than 35 % idle processors). Ctrl-C ends it at
any time: the network is taken away and the report made of what there is.

All of it takes about half an hour a seed: five hours for ten, one of them for false elephants; --quick ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import requests

from documents.printable import complain, say
from scripts.experiments import plots, report
from scripts.experiments.bench import LABS, SFLOW, Bench
from scripts.experiments.results import Key, Results, ResultsError
from scripts.experiments.rows import ROWS, Case, cases
from scripts.experiments.stage import Stage, StageError
from topologies.lab import keeper
from topologies.lab.machine import LabError

Work = list[tuple[Case, int]]  # each with its seed


def main() -> int:
    options = parsed(sys.argv[1:])
    ended = "done"
    with keeper.signals_raise():
        try:
            results = Results(options.report)
            todo = missing(results, cases(options.quick), options.only, options.seeds)
            measure(todo, results)
        except SystemExit:
            ended = "interrupted"
            complain("elephants: interrupted; the same command goes on with what is missing")
        except (ResultsError, StageError, LabError, RuntimeError, requests.RequestException, OSError) as error:
            complain(f"elephants: {error}")
            return 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        text = report.write(options.report, results, about(options), plots.draw_all(results, options.report))
        say("", *text.splitlines())
    return 0 if ended == "done" else 130


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/experiments/elephants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--report", metavar="DIR", type=Path, required=True, help="measurements, tables and plots")
    parser.add_argument("--seeds", metavar="N", type=_seeds, help="runs of each case (10, or 1 if quick)")
    parser.add_argument("--only", metavar="ROW,...", type=_rows, default=ROWS, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="less of each row, of one seed: to look at, no result")
    options = parser.parse_args(words)
    options.seeds = options.seeds or (1 if options.quick else 10)
    return options


def _seeds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not within 1..1000")
    return int(text)


def _rows(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    for row in wanted:
        if row not in ROWS:
            raise argparse.ArgumentTypeError(f"no row {row!r}; there are {', '.join(ROWS)}")
    return wanted


def missing(results: Results, planned: list[Case], rows: tuple[str, ...], seeds: int) -> Work:
    """What is to be measured: laboratory by laboratory, there seed by seed, so that an early end leaves whole seeds."""
    work = []
    for _, of_lab in groupby((case for case in planned if case.row in rows), key=lambda case: case.lab):
        here = list(of_lab)
        for seed in range(1, seeds + 1):
            wanted = {Key(case.row, case.name, seed): case for case in here}
            work += [(wanted[key], seed) for key in results.missing(wanted)]
    return work


def measure(work: Work, results: Results) -> None:
    """All of it, in as few laboratories as its order allows; each measurement is kept as soon as it is there."""
    left = len(work)
    for name, of_lab in groupby(work, key=lambda one: one[0].lab):
        rest = list(of_lab)
        while rest:
            with laboratory(name) as bench:
                while rest:
                    case, seed = rest.pop(0)
                    began = time.monotonic()
                    found = bench.measure(Key(case.row, case.name, seed), case.measure)
                    results.add(found)
                    left -= 1
                    how = found.error or ("done" if found.valid else f"gate failed: {found.idle:.0%} idle")
                    took = time.monotonic() - began
                    say(f"{case.row}: {case.name}, seed {seed}: {how} ({took:.0f} s; {left} left)")
                    if found.error:
                        break  # what it left behind may spoil the next: a new laboratory


@contextlib.contextmanager
def laboratory(name: str) -> Iterator[Bench]:
    """A network with its controller; both are gone at the end."""
    Stage.check_ports()
    work = Path(tempfile.mkdtemp(prefix="howdah-elephants-"))
    say(f"laboratory: {name}")
    try:
        with Stage(LABS[name](), work) as stage:
            yield Bench.open(stage)
    except StageError as error:
        raise StageError(f"{error} (the programs' logs are in {work})") from None
    except BaseException:  # a signal: nothing is left behind
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Of the report: what was measured, on what."""
    ovs = subprocess.run(["ovs-vsctl", "--version"], capture_output=True, text=True, check=False).stdout.splitlines()[
        :1
    ]
    return {
        "fabric": "4 leaves, 4 spines, 16 hosts; one switch with 16 hosts is the non-blocking one",
        "sampling": f"1 in {SFLOW['sampling']}",
        "seeds": f"{options.seeds}{' (quick: to look at, no result)' if options.quick else ''}",
        "machine": f"{os.cpu_count()} processors, Linux {platform.release()}, {''.join(ovs)}",
    }


if __name__ == "__main__":
    sys.exit(main())
