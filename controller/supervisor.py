"""An analytics process of our own: started beside the controller, started again when it dies or hangs, ended with it.

Alive is what answers. A process that has been silent for SILENT_S seconds (START_S from its start to its first answer)
is told to end, after TERM_S killed, and started again; an answer of any kind and at any pace counts, so that one under
load is left alone. After a start without an answer the next one has twice the time for it, LONGEST_START_S at most: on
a busy machine it may just be slow, and would never come up. Silence is added up by the calls of `supervise`, at most
STEP_S each: a controller that itself was stopped for a minute does not blame analytics for it.

`supervise` decides and never waits; `ask` waits for an answer and belongs into a (green) thread of its own.
"""

from __future__ import annotations

import os
import subprocess

import requests

from controller.config import Analytics
from documents import programs

# Seconds between a death and the next start: at once the first time, then doubling, so that a port in use does not
# fill the log.
FIRST_DELAY, LONGEST_DELAY = 0.2, 15.0
# One that still answered this long after its start was healthy: its end starts the delays anew.
HEALTHY = 10.0
SILENT_S, START_S, LONGEST_START_S, STEP_S = 5.0, 20.0, 160.0, 1.0
TERM_S = 2.0  # from SIGTERM to SIGKILL


class AnalyticsEnded(Exception):
    """The analytics process ended by itself."""


class AnalyticsHung(Exception):
    """The analytics process gave no answer and was ended."""


class Supervisor:
    """Keeps one analytics process alive. `supervise` is called a few times a second, `ask` about once."""

    def __init__(self, settings: Analytics) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._asking = requests.Session()
        self._asking.trust_env = False  # no proxy between a controller and its analytics
        self._delay, self._start_s = FIRST_DELAY, START_S
        self._started = self._called = self._next_start = float("-inf")
        self._answers = 0
        self._seen = 0  # answers that `supervise` knows of
        self._answered: float | None = None  # when it last saw one of this process
        self._silence = 0.0
        self._silent_for = 0.0  # what was found to be too long; 0 while it is not being ended

    def ask(self) -> None:
        """Ask the process for its version, and wait for the answer for SILENT_S at most."""
        process = self.process
        try:
            self._asking.get(f"{self.settings.base}/version", timeout=SILENT_S).close()
        except requests.RequestException:
            return
        if process is self.process:
            self._answers += 1

    def supervise(self, now: float) -> str | None:
        """Starts what is not running and ends what hangs; returns a line for the log if it started one. `now` in
        seconds of a monotonic clock.

        Raises AnalyticsEnded or AnalyticsHung once for every process that ended, and OSError where none can be started.
        """
        since, self._called = min(now - self._called, STEP_S), now
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                self._listen(self.process, since, now)
                return None
            self.process = None
            raise self._ended(status, now)
        if now < self._next_start:
            return None
        self._started, self._answered, self._silence, self._silent_for = now, None, 0.0, 0.0
        self.starts += 1
        token = {"HOWDAH_ANALYTICS_TOKEN": self.settings.token} if self.settings.token else {}
        self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, env=os.environ | token)
        return f"analytics started as process {self.process.pid} on {self.settings.base}"

    def _listen(self, process: subprocess.Popen[bytes], since: float, now: float) -> None:
        """Add to the silence, or end it; tell a process to end that was silent for too long."""
        self._silence += since
        if self._answers != self._seen:
            self._seen, self._answered, self._silence = self._answers, now, 0.0
        if self._silent_for:
            if self._silence >= self._silent_for + TERM_S:
                process.kill()
        elif self._silence >= (self._start_s if self._answered is None else SILENT_S):
            self._silent_for = self._silence
            process.terminate()

    def _ended(self, status: int, now: float) -> AnalyticsEnded | AnalyticsHung:
        """What to say of it; when to start the next."""
        healthy = self._answered is not None and self._answered - self._started > HEALTHY
        self._delay = FIRST_DELAY if healthy else min(self._delay * 2, LONGEST_DELAY)
        self._next_start = now + self._delay
        if self._answered is not None:
            self._start_s = START_S
        elif self._silent_for:
            self._start_s = min(self._start_s * 2, LONGEST_START_S)
        again = f"starting it again in {self._delay:.1f} s"
        if self._silent_for:
            return AnalyticsHung(f"analytics gave no answer for {self._silent_for:.0f} s and was ended; {again}")
        return AnalyticsEnded(f"analytics ended with status {status}; {again}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def _command(self) -> list[str]:
        where = self.settings
        return programs.command(
            "analytics", "--parent-pid", os.getpid(), "--host", where.host, "--port", where.port,
            "--sflow-host", where.sflow_host, "--sflow-port", where.sflow_port,
            *(word for source in where.sflow_sources for word in ("--sflow-source", source)),
        )  # fmt: skip
