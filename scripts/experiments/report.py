"""The report of a directory of measurements: report.md for reading, report.json with every figure, plots beside them.

The raw values stay where they are, in the lines of results.py; a report can be made of them at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from scripts.experiments import rows
from scripts.experiments.intervals import Estimate
from scripts.experiments.results import IDLE_MIN, LINES, Results
from scripts.experiments.rows import FAST, SLOW, Figure, figures, happened, of_all, shares

PARTS = {
    "sampling": "first byte until the sampled packet that decided passed its switch",
    "export": "until that sample had left the switch and come in",
    "detection": "until the event",
    "decision": "until the flow mod that moved it was sent",
    "installation": "until the first packet came by the new path",
}
GATE_GOODPUT = 0.93  # of link rate, on the one switch, where every host sends and receives one flow
PERMUTATIONS = ("stride(1)", "stride(2)", "stride(4)", "stride(8)", "stag(.2)", "stag(.5)", "randbij")


def write(directory: Path, results: Results, about: dict[str, Any], plots: Sequence[str]) -> str:
    """Writes report.md and report.json; the former's text."""
    found = figures(results)
    text = "\n".join(_lines(results, found, about, plots)) + "\n"
    (directory / "report.md").write_text(text)
    values = {"about": about, "gate": gate(results), "figures": [_plain(figure) for figure in found]}
    (directory / "report.json").write_text(json.dumps(values, indent=1) + "\n")
    return text


def gate(results: Results) -> dict[str, Any]:
    """Measurements that were carried through, those of them on a machine idle enough, and the one switch's goodput."""
    done = [one for one in results.by_key.values() if one.error is None]
    of_switch = [
        one.values["switch"] / one.values["flows"] / 5e6
        for name in PERMUTATIONS
        for one in results.of("goodput", f"{name}, switch")
    ]
    return {
        "measurements": len(done),
        "valid": sum(one.valid for one in done),
        "failed": sum(one.error is not None for one in results.by_key.values()),
        "idle_min": min((one.idle for one in done if one.idle is not None), default=None),
        "switch_goodput_of_link_rate": round(fmean(of_switch), 4) if of_switch else None,
    }


def parts(results: Results) -> dict[str, dict[str, Estimate]]:
    """By laboratory, the median of each part of the delay of the flows that were moved, and of the whole."""
    out: dict[str, dict[str, Estimate]] = {}
    for case in (SLOW, FAST):
        moved = [
            {"flows": [flow for flow in one.values["flows"] if None not in (flow["moved"], flow["sampling"])]}
            for one in results.of("loop", case)
        ]
        found = {part: of_all(happened(moved, part), 0.5) for part in (*PARTS, "moved")}
        if found["moved"].n:
            out[case] = found
    return out


def number(value: float, unit: str = "") -> str:
    """Three significant digits, and the unit; what is infinite never happened."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 3)}f}{f' {unit}' if unit else ''}"


def interval(estimate: Estimate) -> str:
    return f"{number(estimate.low)} .. {number(estimate.high)}" if estimate.low == estimate.low else "-"


def target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'<=' if figure.at_most else '>='} {figure.target:g}{f' {figure.unit}' if figure.unit else ''}"


def _lines(results: Results, found: list[Figure], about: dict[str, Any], plots: Sequence[str]) -> list[str]:
    passed = gate(results)
    lines = ["# Elephants: what was measured", "", *(f"- {name}: {value}" for name, value in about.items())]
    lines += [
        f"- validity gate: {passed['valid']} of {passed['measurements']} measurements on processors that were idle for "
        f"{IDLE_MIN:.0%} of every second and more (least: {number(passed['idle_min'] or 0.0)}); "
        + _switch_gate(passed["switch_goodput_of_link_rate"]),
        *([f"- {passed['failed']} measurements failed; {LINES} says why"] if passed["failed"] else []),
        "",
        "Intervals hold with 95 % confidence; n is what they rest on: flows, runs, moves. Figures of a case use its",
        "valid measurements; where there is none they say `gate failed` and are no result.",
        "",
        "| figure | target | measured | 95 % interval | n | |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {figure.what} | {target(figure)} | {number(figure.measured.value, figure.unit)} | "
        f"{interval(figure.measured)} | {figure.measured.n} | {figure.verdict} |"
        for figure in found
    ]
    lines += _delays(results) + _patterns(results)
    for name in plots:
        lines += ["", f"![{name}]({name})"]
    return [*lines, *_elsewhere()]


def _switch_gate(share: float | None) -> str:
    if share is None:
        return "the one switch was not measured"
    verdict = "passed" if share >= GATE_GOODPUT else "FAILED"
    return f"the one switch carried {share:.1%} of link rate where {GATE_GOODPUT:.0%} are needed: {verdict}"


def _delays(results: Results) -> list[str]:
    found = parts(results)
    if not found:
        return []
    lines = ["", "## From the first byte to the new path", "", "Medians over the flows that were moved, in ms.", ""]
    lines += [f"| part | {' | '.join(found)} | what it is |", f"|---|{'---|' * len(found)}---|"]
    for part, what in {**PARTS, "moved": "the whole (its median, not the sum of the parts')"}.items():
        cells = [f"{number(of[part].value)} ({interval(of[part])})" for of in found.values()]
        lines.append(f"| {part} | {' | '.join(cells)} | {what} |")
    return lines


def _patterns(results: Results) -> list[str]:
    of_switch, of_ecmp = shares(results, "steered", "switch"), shares(results, "ecmp", "switch")
    gain = shares(results, "steered", "ecmp")
    if not gain:
        return []
    lines = ["", "## Goodput by pattern", "", "Means over seeds; 1 is the non-blocking switch with the same flows.", ""]
    lines += ["| pattern | ECMP | steered | gain | seeds |", "|---|---|---|---|---|"]
    for name, values in gain.items():
        cells = [rows.mean_of(one.get(name, [])) for one in (of_ecmp, of_switch)] + [rows.mean_of(values)]
        lines.append(
            f"| {name} | {' | '.join(f'{number(one.value)} ({interval(one)})' for one in cells)} | {len(values)} |"
        )
    return lines


def _elsewhere() -> list[str]:
    return [
        "",
        "## Without a laboratory",
        "",
        "| figure | command |",
        "|---|---|",
        "| a decision's cost, 1000 switches and 5000 elephants | `python tests/bench/decisions.py cost` |",
        "| placement on fat-trees and oversubscribed fabrics | `python tests/bench/decisions.py quality` |",
        "| a sample to its flow mod, a switch played | `python tests/bench/event_to_rule.py .` |",
    ]


def _plain(figure: Figure) -> dict[str, Any]:
    """For JSON, which has no infinity: null."""
    measured = {n: v if math.isfinite(v) else None for n, v in figure.measured._asdict().items()}
    return {**{n: v for n, v in figure._asdict().items() if n != "measured"}, **measured, "verdict": figure.verdict}
