"""The report's plots, as SVG files: where the delay comes from, when flows are detected, goodput, mice, link failures.

Drawn by matplotlib, which only tests and experiments need; so it is imported here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.experiments.report import PARTS, parts
from scripts.experiments.results import Results
from scripts.experiments.rows import FAILURES, mean_of, shares, times

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "howdah",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)
SIZE = (6.4, 3.2)  # inches
PAUSE_MS = 20.0  # the shortest that is reported
PLOTS: dict[str, Callable[[Results, Axes], bool]] = {}


def plot(name: str) -> Callable[[Callable[[Results, Axes], bool]], Callable[[Results, Axes], bool]]:
    """Registers what draws `name`.svg; it returns whether there was anything to draw."""

    def register(draw: Callable[[Results, Axes], bool]) -> Callable[[Results, Axes], bool]:
        PLOTS[name] = draw
        return draw

    return register


def draw_all(results: Results, directory: Path) -> list[str]:
    """Draws what the results allow; the names of the files."""
    drawn = []
    for name, draw in PLOTS.items():
        figure = Figure(figsize=SIZE, layout="constrained")
        if draw(results, figure.add_subplot()):
            figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
            drawn.append(f"{name}.svg")
    return drawn


@plot("delays")
def delays(results: Results, axes: Axes) -> bool:
    found = parts(results)
    for row, of in enumerate(found.values()):
        left = 0.0
        for color, part in enumerate(PARTS):
            width = max(0.0, of[part].value)
            axes.barh(row, width, left=left, color=f"C{color}", label=None if row else part, height=0.6)
            left += width
        axes.plot(
            [of["moved"].value] * 2, [row - 0.36, row + 0.36], color="black", label=None if row else "whole (median)"
        )
    axes.set_yticks(range(len(found)), [f"{case}\n({of['moved'].n} moves)" for case, of in found.items()])
    axes.set_xlabel("ms from the first byte to the first packet on the new path, medians of the parts")
    return _legend(axes)


@plot("detection")
def detection(results: Results, axes: Axes) -> bool:
    for color, case in enumerate(("TCP, 10 Mb/s", "TCP, 5 Mb/s", "UDP at half rate, 5 Mb/s")):
        values = [one.values for one in results.of("detection", case)]
        distribution(axes, [ms for run in times(values, "detected") for ms in run], case, f"C{color}")
    axes.set_xlim(left=0)
    axes.set_xlabel("ms from the first byte to the event")
    return _shares(axes)


@plot("goodput")
def goodput(results: Results, axes: Axes) -> bool:
    bars = {"fair ECMP": shares(results, "ecmp", "switch"), "steered": shares(results, "steered", "switch")}
    if not bars["steered"]:
        return False
    for number, (label, by_pattern) in enumerate(bars.items()):
        means = [mean_of(values) for values in by_pattern.values()]
        errors = [[max(0.0, m.value - m.low) if m.low == m.low else 0 for m in means],
                  [max(0.0, m.high - m.value) if m.high == m.high else 0 for m in means]]  # fmt: skip
        places = [at + (number - 0.5) * 0.4 for at in range(len(means))]
        axes.bar(
            places, [m.value for m in means], 0.38, yerr=errors, capsize=2, label=label, color=("C7", "C0")[number]
        )
        axes.set_xticks(range(len(means)), list(by_pattern), rotation=30)
    axes.axhline(0.985, color="black", linewidth=0.8, linestyle=":", label="target of the mean")
    axes.set_ylabel("goodput by non-blocking")
    return _legend(axes)


@plot("mice")
def mice(results: Results, axes: Axes) -> bool:
    runs = [one.values for one in results.of("mice", "UDP")]
    for number, which in enumerate(("unmarked", "marked")):
        answers = [ms for run in runs for ms in [*run[which]["times"], *[math.inf] * run[which]["timeouts"]]]
        distribution(axes, answers, f"elephants {which}", ("C7", "C0")[number])
    axes.set_xscale("log")
    axes.set_xlabel("ms of a request behind four elephants")
    return _shares(axes)


@plot("failures")
def failures(results: Results, axes: Axes) -> bool:
    names = [f"{one} {way} controller" for one in FAILURES.values() for way in ("down, with", "down, without")]
    found = {name: [one.values for one in results.of("failure", name)] for name in names}
    found = {name: runs for name, runs in found.items() if runs}
    for row, runs in enumerate(found.values()):
        for color, what, label in (("C3", "down_ms", "down"), ("C0", "up_ms", "up")):
            pauses = [ms for run in runs for ms in run[what].values()]
            height = [row + (0.12 if what == "down_ms" else -0.12)] * len(pauses)
            axes.plot(pauses, height, "|", color=color, markersize=9, label=None if row else f"link goes {label}")
    axes.set_xscale("log")
    axes.set_xlim(left=PAUSE_MS / 2)
    if found:
        axes.axvline(50, color="black", linewidth=0.8, linestyle=":", label="target")
    axes.set_yticks(range(len(found)), [name.replace(", ", ",\n") for name in found])
    axes.set_xlabel(f"ms that a stream paused, of {PAUSE_MS:g} and more")
    return _legend(axes)


def distribution(axes: Axes, values: Sequence[float], label: str, color: str) -> None:
    """The share of all values that is at most x; what never happened is missing at the top."""
    reached = sorted(value for value in values if math.isfinite(value))
    if reached:
        shares_of_all = [n / len(values) for n in range(1, len(reached) + 1)]
        axes.step(reached, shares_of_all, where="post", label=f"{label} (n = {len(values)})", color=color)


def _shares(axes: Axes) -> bool:
    """The vertical axis of distributions; whether there are any."""
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share")
    axes.grid(alpha=0.3)
    return _legend(axes)


def _legend(axes: Axes) -> bool:
    """Names what was drawn, above it; whether anything was."""
    drawn = bool(axes.get_legend_handles_labels()[0])
    if drawn:
        axes.figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return drawn
