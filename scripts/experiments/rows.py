"""What is measured: every row with its cases, the laboratory of each, how much of it, and the targets.

`cases` is the plan of a run. `figures` makes of the results the table that the report shows: one line per figure, the
target beside what was measured, where it falls short as well as where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from scripts.experiments import detecting, steering
from scripts.experiments.bench import Bench, Values
from scripts.experiments.intervals import Estimate, bootstrap, events, proportion, quantile
from scripts.experiments.results import Results


class Case(NamedTuple):
    """One measurement of a row for each seed, in the laboratory of that name."""

    row: str
    name: str
    lab: str
    measure: Callable[[Bench, Random], Values]


class Figure(NamedTuple):
    """What was measured of a target: `at_most` or at least `target`; None where there is none."""

    row: str
    what: str
    unit: str
    target: float | None
    at_most: bool
    measured: Estimate
    valid: bool

    @property
    def verdict(self) -> str:
        """met or missed by the value itself; the interval says how sure that is."""
        value = self.measured.value
        if math.isnan(value):
            return "not measured"
        if not self.valid:
            return "gate failed"
        if self.target is None:
            return ""
        return "met" if (value <= self.target if self.at_most else value >= self.target) else "missed"


ROWS = ("detection", "separation", "false elephants", "loop", "rates", "goodput", "churn", "moves", "mice", "failure")
FAST, SLOW, SWITCH = "10 Mb/s", "5 Mb/s", "one switch"
RATIOS = {"2:1": (2.0, 3000.0), "4:1": (4.0, 600.0)}  # rate of elephants by mice; ms within which they count as found
FAILURES = {"link": "a link", "spine": "a spine"}


def cases(quick: bool) -> list[Case]:
    """The plan, laboratory by laboratory. A quick one shows every row, with less of each."""

    def pick(quickly: float, fully: float) -> Any:
        return quickly if quick else fully

    detection = partial(detecting.detection, flows=pick(4, 16))
    names = ["stride(4)", "randbij"] if quick else list(steering.PATTERNS)
    sizes = {"1 MB": 1_000_000} if quick else {"0.3 MB": 300_000, "1 MB": 1_000_000, "5 MB": 5_000_000}
    goodput = partial(steering.goodput, seconds=pick(6, 15))
    failures = [(what, alive) for what in (["link"] if quick else FAILURES) for alive in (True, False)]
    return [
        Case("detection", "TCP, 10 Mb/s", FAST, detection),
        Case("loop", FAST, FAST, partial(detecting.loop, rounds=pick(2, 8))),
        *(Case("goodput", f"{p}, switch", SWITCH, partial(goodput, pattern=p, steered=False)) for p in names),
        Case("detection", "TCP, 5 Mb/s", SLOW, detection),
        Case("detection", "UDP at half rate, 5 Mb/s", SLOW, partial(detection, udp_share=0.5)),
        *(
            Case("separation", name, SLOW, partial(detecting.separation, ratio=ratio, rounds=pick(1, 3)))
            for name, (ratio, _) in RATIOS.items()
        ),
        Case("loop", SLOW, SLOW, partial(detecting.loop, rounds=pick(2, 8))),
        Case("rates", "TCP", SLOW, partial(detecting.rates, seconds=pick(4, 12))),
        *(Case("goodput", f"{p}, fabric", SLOW, partial(goodput, pattern=p, steered=True)) for p in names),
        *(
            Case("churn", name, SLOW, partial(steering.churn, size=size, seconds=pick(8, 25)))
            for name, size in sizes.items()
        ),
        Case("moves", "UDP", SLOW, partial(steering.moves, rounds=pick(1, 4))),
        Case("mice", "UDP", SLOW, partial(steering.mice, seconds=pick(4, 8))),
        *(
            Case("failure", _failure(what, alive), SLOW, partial(steering.failure, what=what, controlled=alive))
            for what, alive in failures
        ),
        Case("false elephants", "250 kb/s", SLOW, partial(detecting.false_elephants, seconds=pick(20, 360))),
    ]


def _failure(what: str, controlled: bool) -> str:
    return f"{FAILURES[what]} down, {'with' if controlled else 'without'} controller"


def figures(results: Results) -> list[Figure]:
    """All figures for which anything was measured, in the order of the rows."""
    return [figure for figure in _figures(_Runs(results)) if figure.measured.n]


class _Runs:
    """The values of the runs of a case."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def of(self, row: str, case: str) -> list[Values]:
        return [one.values for one in self.results.of(row, case)]

    def by_seed(self, row: str, case: str) -> dict[int, Values]:
        return {one.key.seed: one.values for one in self.results.of(row, case)}

    def figure(
        self, row: str, cases: Sequence[str], what: str, unit: str, target: float | None, measured: Estimate,
        *, at_least: bool = False,
    ) -> Figure:  # fmt: skip
        valid = all(one.valid for case in cases for one in self.results.of(row, case))
        return Figure(row, what, unit, target, not at_least, measured, valid)


def times(runs: Sequence[Values], part: str) -> list[list[float]]:
    """A part of the delay of every flow, run by run; infinite where it never happened."""
    return [[math.inf if flow[part] is None else flow[part] for flow in run["flows"]] for run in runs]


def happened(runs: Sequence[Values], part: str) -> list[list[float]]:
    """The same, without the flows to which it did not happen."""
    found = [[flow[part] for flow in run["flows"] if flow[part] is not None] for run in runs]
    return [run for run in found if run]


def of_all(runs: Sequence[Sequence[float]], share: float) -> Estimate:
    """The quantile of what all runs hold; `n` counts what they hold."""
    estimate = bootstrap(runs, lambda drawn: quantile([value for run in drawn for value in run], share))
    return estimate._replace(n=sum(map(len, runs)))


def mean_of(values: Sequence[float]) -> Estimate:
    return bootstrap(values, fmean)


def _figures(runs: _Runs) -> Iterator[Figure]:
    yield from _detection(runs)
    yield from _separation(runs)
    yield from _loop(runs)
    yield from _goodput(runs)
    yield from _cost(runs)
    yield from _failures(runs)


def _detection(runs: _Runs) -> Iterator[Figure]:
    targets: dict[str, tuple[float | None, float | None]] = {
        "TCP, 5 Mb/s": (45, 120),
        "TCP, 10 Mb/s": (35, 90),
        "UDP at half rate, 5 Mb/s": (None, None),
    }
    for case, (p50, p95) in targets.items():
        found = times(runs.of("detection", case), "detected")
        for share, target in ((0.50, p50), (0.95, p95)):
            what = f"first byte to event, {case}, p{share * 100:.0f}"
            yield runs.figure("detection", [case], what, "ms", target, of_all(found, share))
    found = [run for case in targets for run in happened(runs.of("detection", case), "rule")]
    for share, target in ((0.50, 2.0), (0.99, 8.0)):
        what = f"event to flow mod on the wire, p{share * 100:.0f}"
        yield runs.figure("detection", list(targets), what, "ms", target, of_all(found, share))


def _separation(runs: _Runs) -> Iterator[Figure]:
    for case, (_, within) in RATIOS.items():
        flows = [flow for run in runs.of("separation", case) for flow in run["flows"]]
        called = [flow for flow in flows if flow["ms"] is not None and flow["ms"] <= within]
        right = sum(flow["elephant"] for flow in called)
        text = f"{case}, within {within / 1000:g} s"
        for name, all_of_them in (("precision", len(called)), ("recall", sum(flow["elephant"] for flow in flows))):
            estimate = proportion(right, all_of_them)
            yield runs.figure("separation", [case], f"{name} at {text}", "", 0.99, estimate, at_least=True)
    case, of_mice = "250 kb/s", runs.of("false elephants", "250 kb/s")
    hours = sum(run["seconds"] for run in of_mice) / 3600
    rate = events(sum(run["false"] for run in of_mice), hours)._replace(n=sum(run["flows"] for run in of_mice))
    yield runs.figure("false elephants", [case], "false elephants an hour of 16 mice of 250 kb/s", "/h", 1.0, rate)


def _loop(runs: _Runs) -> Iterator[Figure]:
    for case, targets in ((SLOW, (100.0, 240.0)), (FAST, (50.0, 120.0))):
        found = happened(runs.of("loop", case), "moved")
        for share, target in zip((0.50, 0.95), targets, strict=True):
            what = f"first byte to first packet on the new path, {case}, p{share * 100:.0f}"
            yield runs.figure("loop", [case], what, "ms", target, of_all(found, share))
    errors = [run["errors"] for run in runs.of("rates", "TCP")]
    for share, target, name in ((0.50, 0.05, "median"), (0.95, 0.15, "p95")):
        yield runs.figure("rates", ["TCP"], f"rate error over 100 ms, TCP, {name}", "", target, of_all(errors, share))


def shares(results: Results, of: str, by: str) -> dict[str, list[float]]:
    """One total by another of the same flows, for every pattern with both, a value a seed."""
    runs, found = _Runs(results), {}
    for name in steering.PATTERNS:
        both = {**runs.by_seed("goodput", f"{name}, switch")}, runs.by_seed("goodput", f"{name}, fabric")
        pairs = [{**both[0].get(seed, {}), **values} for seed, values in both[1].items()]
        found[name] = [pair[of] / pair[by] for pair in pairs if of in pair and by in pair]
    return {name: values for name, values in found.items() if values}


def _goodput(runs: _Runs) -> Iterator[Figure]:
    of_switch = shares(runs.results, "steered", "switch")
    used = [f"{name}, {where}" for name in steering.PATTERNS for where in ("switch", "fabric")]
    measured = mean_of([value for values in of_switch.values() for value in values])
    yield runs.figure("goodput", used, "goodput by non-blocking, all patterns", "", 0.985, measured, at_least=True)
    if of_switch:
        worst = min(of_switch, key=lambda name: fmean(of_switch[name]))
        what = f"goodput by non-blocking, worst pattern: {worst}"
        yield runs.figure("goodput", used, what, "", 0.97, mean_of(of_switch[worst]), at_least=True)
    gain = shares(runs.results, "steered", "ecmp")
    for what, names, target in (
        ("stride(4), stride(8)", ("stride(4)", "stride(8)"), 1.40),
        ("randbij", ("randbij",), 1.3),
    ):
        measured = mean_of([value for name in names for value in gain.get(name, ())])
        used = [f"{name}, fabric" for name in names]
        yield runs.figure("goodput", used, f"goodput by fair ECMP, {what}", "x", target, measured, at_least=True)


def _cost(runs: _Runs) -> Iterator[Figure]:
    for case in ("0.3 MB", "1 MB", "5 MB"):
        pairs = runs.of("churn", case)
        faster = mean_of([1 - run["steered"]["mean_s"] / run["ecmp"]["mean_s"] for run in pairs])
        what = f"completion sooner than under ECMP, elephants of {case}"
        yield runs.figure("churn", [case], what, "", None, faster, at_least=True)
        moves = mean_of(
            [run["steered"]["moves"] / run["steered"]["elephants"] for run in pairs if run["steered"]["elephants"]]
        )
        yield runs.figure("churn", [case], f"moves per elephant of {case}", "", 1.2, moves)
    streams = [run["streams"] for run in runs.of("moves", "UDP")]
    moved = [[one for one in run if one["moves"]] for run in streams]
    for what, name, target in (("lost", "lost", 0.0), ("late", "overtaken", None)):
        per_move = [sum(one[what] for one in run) / sum(one["moves"] for one in run) for run in moved if run]
        measured = mean_of(per_move)._replace(n=sum(one["moves"] for run in moved for one in run))
        yield runs.figure("moves", ["UDP"], f"packets {name} by a move", "", target, measured)
    kept = [float(one["lost"]) for run in streams for one in run if not one["moves"]]
    yield runs.figure("moves", ["UDP"], "packets lost of a stream that was not moved", "", None, mean_of(kept))
    pairs = runs.of("mice", "UDP")
    lower = bootstrap(pairs, lambda drawn: _p99(drawn, "unmarked") / _p99(drawn, "marked"))
    yield runs.figure("mice", ["UDP"], "p99 of mice lower by marking", "x", 20, lower, at_least=True)
    loss = mean_of([1 - run["marked"]["alone"] / run["unmarked"]["alone"] for run in pairs if run["unmarked"]["alone"]])
    yield runs.figure("mice", ["UDP"], "goodput of elephants alone lost by marking", "", 0.01, loss)


def _p99(runs: Sequence[Values], which: str) -> float:
    """Of all requests; one that timed out took longer than any."""
    return quantile([x for run in runs for x in [*run[which]["times"], *[math.inf] * run[which]["timeouts"]]], 0.99)


def _failures(runs: _Runs) -> Iterator[Figure]:
    for what, alive in ((what, alive) for what in FAILURES for alive in (True, False)):
        case = _failure(what, alive)
        found = runs.of("failure", case)
        worst = bootstrap([max(run["down_ms"].values(), default=0.0) for run in found], lambda x: quantile(x, 0.5))
        yield runs.figure("failure", [case], f"{case}: longest pause of a stream", "ms", 50, worst)
        anew = [[math.inf if ms is None else ms for ms in run["elephants_ms"]] for run in found if run["elephants_ms"]]
        what_of = f"{case}: elephants on another spine, p95"
        yield runs.figure("failure", [case], what_of, "ms", 200 if alive else None, of_all(anew, 0.95))
        paused = mean_of([float(len(run["up_ms"])) for run in found])
        up = case.replace("down", "up")
        yield runs.figure("failure", [case], f"{up}: streams that paused 20 ms and more", "", 0, paused)
