"""Processes that a test did not start itself."""

from __future__ import annotations


def is_running(pid: int) -> bool:
    """Whether it has not ended. One that ended may stay as a zombie: not every container's init collects them."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
