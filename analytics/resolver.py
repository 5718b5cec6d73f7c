"""Names of addresses, asked of the system's resolver by a thread of its own: nobody waits for the DNS.

`reverse_name` answers what is known, and otherwise notes the address to be asked for. So a flow that wants names begins
without them and has them some seconds later (Engine._look_up_anew). Bounded: MOST_NAMES are kept, the oldest go first;
MOST_WAITING are asked for, more than these when they come again. A name is kept for KEPT_S, and so is that there is
none.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import OrderedDict

MOST_NAMES = 50_000  # 200 bytes each
MOST_WAITING = 1000
KEPT_S = 3600.0


class Resolver:
    """The cache and its thread. `start` and `stop` it; it looks one name up before, so that the system's resolver has
    loaded what it needs while the program may still open files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: OrderedDict[str, tuple[str | None, float]] = OrderedDict()
        self._asked: set[str] = set()
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)
        self._news = False
        look_up("127.0.0.1")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask for nothing more; a question under way ends by itself."""
        self._waiting.put(None)

    def reverse_name(self, address: str) -> str | None:
        """The name of an address if it is known; else it will be asked for."""
        with self._lock:
            name, until = self._names.get(address, (None, 0.0))
            if until <= time.monotonic() and address not in self._asked and len(self._asked) < MOST_WAITING:
                self._asked.add(address)
                self._waiting.put(address)
            return name

    def has_news(self) -> bool:
        """Whether names came since this was last asked."""
        with self._lock:
            news, self._news = self._news, False
            return news

    def _run(self) -> None:
        while (address := self._waiting.get()) is not None:
            name = look_up(address)
            with self._lock:
                self._asked.discard(address)
                self._news = self._news or self._names.get(address, (None, 0.0))[0] != name
                self._names[address] = (name, time.monotonic() + KEPT_S)
                self._names.move_to_end(address)
                if len(self._names) > MOST_NAMES:
                    self._names.popitem(last=False)


def look_up(address: str) -> str | None:
    """The name of an address, as the system resolves it; None: it has none, or nobody answers."""
    try:
        return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]
    except (OSError, UnicodeError):
        return None
