"""What the machine has, and giving memory back to it. All of this is Linux's; what is not there counts as unknown."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
DEFAULT_PART = 4  # of the memory: a quarter
LARGE = 1 << 18  # bytes; a full segment of a table has eight times that
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def memory(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes of the machine, or of the lowest limit of the control groups (cgroups(7)) that we are in."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            base = cgroups / kinds if kinds else cgroups
            folder = base / path.lstrip("/")
            for each in (folder, *folder.parents):
                if each != base and base not in each.parents:
                    break
                found = min(found, _limit(each / ("memory.max" if not kinds else "memory.limit_in_bytes"), found))
    return found


def _limit(file: Path, otherwise: int) -> int:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return otherwise
    return int(text) if text.isdigit() else otherwise  # "max": none


def map_large_pieces() -> None:
    """Have the C library take each large piece of memory from the system by itself, so that it goes back as soon as it
    is freed (mallopt(3)). Otherwise glibc learns from the first ones to keep them in heaps, whose ends malloc_trim(3)
    leaves alone.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, LARGE)
        set_option(M_TRIM_THRESHOLD, 16 * LARGE)


def give_back() -> None:
    """Return to the system what the C library keeps of memory that was freed (malloc_trim(3)), where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
