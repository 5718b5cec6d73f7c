"""A program beside analytics, whose lines are read: a script, or `howdah run` with its scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Process:
    """`lines` is all that it has printed, with its standard error."""

    def __init__(self, *command, folder=None, **environment):
        self.lines = []
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self):
        """Its exit code, as soon as it has ended; `lines` are complete then."""
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def end(self, sign=signal.SIGTERM):
        """Its exit code."""
        self.process.send_signal(sign)
        return self.wait()

    def close(self):
        self.process.kill()
        self.wait()
        self.process.stdout.close()
