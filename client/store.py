"""What a script remembers over its restarts: names -> JSON values, in one file that is replaced as a whole.

For settings and small state. Every change writes the file, O(size); whoever changes much keeps it elsewhere.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any


def directory() -> Path:
    """HOWDAH_STORE, else howdah in the user's state directory (XDG Base Directory Specification)."""
    named = os.environ.get("HOWDAH_STORE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "howdah"


class Store(MutableMapping[str, Any]):
    """A dict whose changes are on the disk when they are done. OSError where the file cannot be read or written;
    ValueError, which names it, where it is not ours; TypeError for a value that JSON cannot say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, Any] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            self._values = dict(json.loads(text))
        except (ValueError, TypeError):
            raise ValueError(f"{path} is not the store of a script: no JSON object") from None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._write(self._values | {name: json.loads(json.dumps(value))})

    def __delitem__(self, name: str) -> None:
        values = dict(self._values)
        del values[name]
        self._write(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _write(self, values: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(values, file, indent=1)
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise
        self._values = values
