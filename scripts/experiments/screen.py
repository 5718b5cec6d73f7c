"""What the user sees: tables that update in place on a terminal, plain lines elsewhere (pipes, CI, logs)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from documents.console import PlainConsole
from documents.printable import printable

WIDE_ENOUGH = 100  # columns assumed where the output is no terminal, so that nothing is cut


class Screen:
    """Prints each line with the time since the start. `names` gives the host of an address."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.console = PlainConsole()
        if not self.console.is_terminal:
            self.console = PlainConsole(width=WIDE_ENOUGH, soft_wrap=True)
        self.names = names
        self._began = time.monotonic()
        self._shown: dict[str, tuple[Any, ...]] = {}

    def title(self, text: str) -> None:
        self.console.print(f"\n{text}", style="bold")

    def say(self, text: str) -> None:
        self.console.print(Text(f"{time.monotonic() - self._began:6.1f} s", style="dim"), f" {printable(text)}")

    def watch(self, ask: Callable[[], list[dict[str, Any]]], run: Callable[[Callable[[float], None]], Any]) -> Any:
        """Runs something that calls back about once a second, and shows the elephants that `ask` gives then."""
        if not self.console.is_terminal:
            self._shown.clear()
            self.say(f"{'flow':10} {'rate':>9}  {'state':8} {'path':20} reason")
            return run(lambda _: self._changes(ask()))
        with Live(self._live(ask()), console=self.console, auto_refresh=False, transient=True) as live:
            return run(lambda _: live.update(self._live(ask()), refresh=True))

    def elephants(self, rows: list[dict[str, Any]]) -> None:
        """The table of all elephants, after they have ended."""
        headers = ("detected", "marked", "moved", "Mb/s before", "after")
        table = Table("flow", "spine before > after", *(Column(header, justify="right") for header in headers))
        for row in rows:
            before, after = (_middle(row[name]) for name in ("path_before", "path_after"))
            table.add_row(
                self._flow(row["flow"]),
                before if before == after else f"{before} > {after}",
                *(f"{row[name]:.0f} ms" if row[name] else "" for name in ("detected_ms", "marked_ms", "moved_ms")),
                f"{row['goodput_before_mbps']:.2f}",
                f"{row['goodput_after_mbps']:.2f}",
            )
        self.console.print(table)

    def kept(self, controller: int, work: Path, commands: Path) -> None:
        """What still runs, and how to end it. `controller` is ryu-manager's process id."""
        self.title("Still running: the fabric, ryu-manager, analytics")
        self.console.print(
            f"Look:    {commands}/howdah top        (log: {work}/controller.log)\n"
            f"Traffic: {commands}/howdah lab exec h1 ping 10.0.4.4\n"
            f"End:     kill {controller}; {commands}/howdah lab down"
        )

    def _changes(self, records: list[dict[str, Any]]) -> None:
        """One line for every elephant whose state changed."""
        for record in records:
            state = record["state"], tuple(record["path"] or ()), record["moves"]
            if self._shown.get(record["flow"]) != state:
                self._shown[record["flow"]] = state
                self.say(
                    f"{self._flow(record['flow']):10} {record['rate'] / 1e6:4.1f} Mb/s  {record['state']:8} "
                    f"{' '.join(record['path'] or ['path not seen yet']):20} {record['reason']}"
                )

    def _live(self, records: list[dict[str, Any]]) -> Table:
        table = Table("flow", Column("Mb/s", justify="right"), "state", "path", "why")
        for record in records:
            table.add_row(
                self._flow(record["flow"]),
                f"{record['rate'] / 1e6:.1f}",
                record["state"],
                " ".join(record["path"] or ["?"]),
                record["reason"],
                style="green" if record["moves"] else "",
            )
        return table

    def _flow(self, key: str) -> str:
        source, destination = key.split(",")[:2]
        return f"{self.names.get(source, source)} > {self.names.get(destination, destination)}"


def _middle(path: list[str] | None) -> str:
    """The part in which paths between two leaves differ."""
    return " ".join(path[1:-1]) if path else "?"
