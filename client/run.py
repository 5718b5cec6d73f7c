"""`howdah run`: scripts beside analytics, each a process of its own; started again when one fails, ended with all.

What a process says is printed with its name before each line. A script that fails (any exit code but 0, or a signal)
is started again, after FIRST_DELAY at first, then twice as long each time, LONGEST_DELAY at most; one that lived for
HEALTHY seconds begins anew. One that ends with 0 has done its work. The end of analytics, or a signal to us, ends all:
SIGTERM, so that scripts remove what they defined, then analytics; whoever is still there after TERM_S is killed.

One thread reads all outputs, whose end is the process's; nothing polls. A crew whose keeper is killed ends by itself
(`--parent-pid` of analytics, HOWDAH_RUN in the environment of scripts).
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client.script import PARENT
from documents import programs
from documents.printable import complain, say

FIRST_DELAY, LONGEST_DELAY, HEALTHY = 1.0, 60.0, 30.0
TERM_S = 10.0
MAX_LINE = 8192  # bytes of a line that are shown in one
READY = re.compile(r"ready: (http://\S+)")
ANALYTICS = "analytics"


@dataclass
class Member:
    """A process that we keep; `process` None while it is not running."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = FIRST_DELAY / 2
    due: float | None = 0.0  # when to start it; None: not any more
    said: bytearray = field(default_factory=bytearray)


class Crew:
    """Analytics, unless `url` names one that runs elsewhere, and scripts."""

    def __init__(self, scripts: Sequence[Path], url: str | None, options: Sequence[str]) -> None:
        self._url = url
        self._scripts = [Member(name, programs.script(path)) for name, path in _named(scripts)]
        self._analytics = (
            None if url else Member(ANALYTICS, programs.command("analytics", "--parent-pid", os.getpid(), *options))
        )
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Until all scripts are done (0), analytics has ended (1), or a signal came (0)."""
        with self._signalled() as signals:
            self._selector.register(signals, selectors.EVENT_READ, None)
            try:
                return self._keep()
            finally:
                self._end()

    def _keep(self) -> int:
        if self._analytics is not None:
            self._start(self._analytics)
        while True:
            now = time.monotonic()
            if self._url is not None:
                for script in self._scripts:
                    if script.due is not None and now >= script.due:
                        self._start(script)
            if all(script.process is None and script.due is None for script in self._scripts):
                return 0
            due = [script.due for script in self._scripts if script.due is not None] if self._url else []
            for key, _ in self._selector.select(max(0.0, min(due) - now) if due else None):
                if key.data is None:
                    return 0
                if self._hear(key.data) and key.data is self._analytics:
                    return 1

    def _start(self, member: Member) -> None:
        environment = os.environ | {PARENT: str(os.getpid())}
        if self._url:
            environment["HOWDAH_ANALYTICS_URL"] = self._url
        member.process = subprocess.Popen(
            member.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: analytics must not end before the scripts
        )
        assert member.process.stdout is not None
        member.started, member.due = time.monotonic(), None
        self._selector.register(member.process.stdout, selectors.EVENT_READ, member)

    def _hear(self, member: Member) -> bool:
        """Print what a process said; True if it has ended."""
        assert member.process is not None and member.process.stdout is not None
        heard = os.read(member.process.stdout.fileno(), 65536)
        member.said += heard
        *lines, rest = bytes(member.said).split(b"\n")
        member.said[:] = rest
        if rest and (not heard or len(rest) > MAX_LINE):
            lines.append(rest)
            member.said.clear()
        for line in lines:
            text = line.decode(errors="replace")
            say(f"{member.name}: {text}")
            found = READY.search(text) if member is self._analytics else None
            if found:
                self._url = found[1]
        if heard:
            return False
        self._selector.unregister(member.process.stdout)
        member.process.stdout.close()
        self._ended(member, member.process.wait())
        member.process = None
        return True

    def _ended(self, member: Member, status: int) -> None:
        """Say so; when to start it again."""
        now = time.monotonic()
        if member is self._analytics:
            complain(f"howdah run: analytics ended with status {status}")
        elif status != 0:
            member.delay = FIRST_DELAY if now - member.started > HEALTHY else min(2 * member.delay, LONGEST_DELAY)
            member.due = now + member.delay
            complain(f"howdah run: {member.name} ended with status {status}; starting it again in {member.delay:.0f} s")

    def _end(self) -> None:
        """Scripts first: they still have something to tell analytics."""
        for members in (self._scripts, [self._analytics] if self._analytics else []):
            running = [member for member in members if member.process is not None]
            for member in running:
                assert member.process is not None
                member.process.terminate()
            deadline = time.monotonic() + TERM_S
            while running:
                for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
                    if key.data is not None:
                        self._hear(key.data)
                running = [member for member in running if member.process is not None]
                if time.monotonic() >= deadline:
                    for member in running:
                        assert member.process is not None
                        member.process.kill()

    @contextlib.contextmanager
    def _signalled(self) -> Iterator[socket.socket]:
        """A socket that becomes readable with SIGINT or SIGTERM."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            before = {sign: signal.signal(sign, lambda *_: None) for sign in (signal.SIGINT, signal.SIGTERM)}
            woken = signal.set_wakeup_fd(theirs.fileno())
            try:
                yield ours
            finally:
                signal.set_wakeup_fd(woken)
                for sign, handler in before.items():
                    signal.signal(sign, handler)


def _named(scripts: Sequence[Path]) -> list[tuple[str, Path]]:
    """Names for the output: the file's, with a number where it is not the first of that name."""
    named: dict[str, Path] = {}
    for path in scripts:
        name, number = path.stem, 2
        while name in named or name == ANALYTICS:
            name, number = f"{path.stem}-{number}", number + 1
        named[name] = path
    return list(named.items())
