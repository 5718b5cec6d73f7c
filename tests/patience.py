"""How long tests wait for what must happen: a limit for failures only, because what happens ends the wait.

One generous number, so that a machine ten times slower passes; HOWDAH_TEST_PATIENCE=3 makes it three times as long.
"""

from __future__ import annotations

import os

PATIENCE_S = 60.0 * float(os.environ.get("HOWDAH_TEST_PATIENCE", "1"))
