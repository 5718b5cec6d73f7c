"""Rich's console as our programs use it: a text is a text. Nothing in square brackets is markup, no :name: an emoji,
and every string, in a table's cells too, passes `printable` line by line. A program that wants style asks for it by a
`Text` or by the `style` of a row or a column. Not in printable.py, because importing rich takes a sixth of a second.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from documents.printable import printable


class PlainConsole(Console):
    """See the module. Rich turns every string that it is given into a Text here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as a Text, whatever a caller within rich asks about markup."""
        plain = "\n".join(printable(line) for line in text.split("\n"))
        return super().render_str(plain, **{**options, "markup": False, "emoji": False})
