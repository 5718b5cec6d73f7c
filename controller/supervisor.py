"""An analytics process of our own: started beside the controller, started again when it dies, ended with it."""

from __future__ import annotations

import os
import subprocess

from controller.config import Analytics
from documents import programs

# Seconds between a death and the next start: at once the first time, then doubling, so that a port in use does not
# fill the log.
FIRST_DELAY, LONGEST_DELAY = 0.2, 15.0
# One that lived this long was healthy: its death starts the delays anew.
HEALTHY = 10.0


class AnalyticsEnded(Exception):
    """The analytics process ended by itself."""


class Supervisor:
    """Keeps one analytics process alive. `supervise` is called a few times a second."""

    def __init__(self, settings: Analytics) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._delay = FIRST_DELAY
        self._started = self._next_start = float("-inf")

    def supervise(self, now: float) -> str | None:
        """Starts what is not running; returns a line for the log if it did. `now` in seconds.

        Raises AnalyticsEnded once for every process that ended, and OSError where none can be started.
        """
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return None
            self.process = None
            self._delay = FIRST_DELAY if now - self._started > HEALTHY else min(self._delay * 2, LONGEST_DELAY)
            self._next_start = now + self._delay
            raise AnalyticsEnded(f"analytics ended with status {status}; starting it again in {self._delay:.1f} s")
        if now < self._next_start:
            return None
        self._started = now
        self.starts += 1
        self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL)
        return f"analytics started as process {self.process.pid} on {self.settings.base}"

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
        )  # fmt: skip
