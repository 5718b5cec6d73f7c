"""Where a real Prometheus is, for the tests that scrape with one: installed, or fetched by scripts/setup --tests."""

from __future__ import annotations

import shutil
from pathlib import Path

FETCHED = Path(__file__).parent.parent / "build" / "prometheus" / "usr" / "bin"

PROMETHEUS = shutil.which("prometheus") or shutil.which("prometheus", path=str(FETCHED))
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(FETCHED))
