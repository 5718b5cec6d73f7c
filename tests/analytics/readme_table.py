"""The table of structures in analytics/README.md, made from the table of the code; a test holds the README to it.

python tests/analytics/readme_table.py          # writes it into the README
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analytics import structures

README = Path(__file__).parents[2] / "analytics/README.md"
BEGIN, END = "<!-- structures -->", "<!-- /structures -->"
TESTS = "tests/analytics/test_structures.py::test_every_field_in_json"


def lines(kind: str, rows: Iterable[structures.Structure]) -> list[str]:
    return [
        f"| {one.text} | {one.name} | {len(one.fields) or 'kept as bytes'} | `[{kind}-{one.text}]` |" for one in rows
    ]


def table() -> str:
    """Markdown: tag, name, number of fields, and the test's parameter that feeds it bytes."""
    samples = [
        f"| {one.text} | {one.name} | {len(one.fields)} | `test_every_sample_field[{one.text}]` |"
        for one in structures.SAMPLES.values()
    ]
    head = ["", "| tag | name | fields | test |", "|---|---|---|---|"]
    return "\n".join(
        ["Samples (`tests/analytics/test_samples.py`)", *head, *samples, "",
         f"Flow records (`{TESTS}`)", *head, *lines("flow", structures.FLOW_RECORDS.values()), "",
         f"Counter records (`{TESTS}`)", *head, *lines("counter", structures.COUNTER_RECORDS.values())]
    )  # fmt: skip


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
