"""The table of structures and their keys in analytics/README.md, made from those of the code; a test holds it to them.

python tests/analytics/readme_table.py          # writes it into the README
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analytics.core.dissect import recordkeys
from analytics.core.wire import structures

README = Path(__file__).parents[2] / "analytics/README.md"
OTHERWISE = {
    (0, 1): "those of the packet's headers",
    **{(0, tag): "those of the packet's headers, without a sampled_header" for tag in (2, 3, 4)},
    (0, 1001): "`vlansource prioritysource vlandestination prioritydestination`",
}
BEGIN, END = "<!-- structures -->", "<!-- /structures -->"
TESTS = "tests/analytics/core/test_structures.py::test_every_field_in_json"


def lines(kind: str, rows: Iterable[structures.Structure]) -> list[str]:
    return [
        f"| {one.text} | {one.name} | {len(one.fields) or 'kept as bytes'} | `[{kind}-{one.text}]` |" for one in rows
    ]


def keys(tag: structures.Tag) -> str:
    """The keys that a flow record makes."""
    made = [place.key for place in recordkeys.RECORD_KEYS.get(tag, ())]
    made += [key for key, (of, _) in recordkeys.ALIASES.items() if of in made]
    return OTHERWISE.get(tag) or (f"`{' '.join(made)}`" if made else "")


def table() -> str:
    """Markdown: tag, name, number of fields, the test's parameter that feeds it bytes, and keys of flow records."""
    samples = [
        f"| {one.text} | {one.name} | {len(one.fields)} | `test_every_sample_field[{one.text}]` |"
        for one in structures.SAMPLES.values()
    ]
    rows = structures.FLOW_RECORDS
    head = ["", "| tag | name | fields | test |", "|---|---|---|---|"]
    return "\n".join(
        ["Samples (`tests/analytics/core/test_samples.py`)", *head, *samples, "",
         f"Flow records (`{TESTS}`)", "", "| tag | name | fields | test | keys of flows |", "|---|---|---|---|---|",
         *(f"{line} {keys(tag)} |".replace("|  |", "| |")
           for tag, line in zip(rows, lines("flow", rows.values()), strict=True)), "",
         f"Counter records (`{TESTS}`)", *head, *lines("counter", structures.COUNTER_RECORDS.values())]
    )  # fmt: skip


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
