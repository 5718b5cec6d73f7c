"""How a program of ours starts another: `python -I -m MODULE`, and in no other way.

Without -I, `python -m` puts the working directory first on the path of imports, so that a program that root starts in a
foreign directory takes that directory's json.py for Python's. -I (isolated mode) leaves out the working directory, the
script's directory, PYTHONPATH and the user's own packages; what remains is the environment that scripts/setup made, and
this tree through its path entry there. (-P would do for the first alone, and Python 3.10 has no -P.) The commands in
.venv/bin start their scripts with -I too.
"""

from __future__ import annotations

import sys


def command(module: str, *words: object) -> list[str]:
    """The command line of a module of ours, which must be installed in this interpreter's environment."""
    return [sys.executable, "-I", "-m", module, *map(str, words)]


def script(path: object) -> list[str]:
    """The command line of a user's script, whose output is not buffered. It is not isolated: the modules beside it are
    the user's too."""
    return [sys.executable, "-u", str(path)]
