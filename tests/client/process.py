"""A script as a program: started with the URL of analytics, its lines read, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Process:
    """`lines` is all that it has printed, with its standard error."""

    def __init__(self, path, url, *words, **environment):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(path), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT), "HOWDAH_ANALYTICS_URL": url} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self, sign=signal.SIGTERM):
        """Its exit code."""
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE_S)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
