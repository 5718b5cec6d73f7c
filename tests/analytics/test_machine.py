"""machine: the memory that is ours to take."""

from __future__ import annotations

import os

from analytics import machine

ALL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_the_lowest_limit_of_our_control_groups_counts(tmp_path):
    """cgroups(7): version 2 has one hierarchy, `max` is no limit; a limit of a parent holds for its children."""
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    (groups / "system/howdah").mkdir(parents=True)
    own.write_text("0::/system/howdah\n")
    assert machine.memory(groups, own) == ALL
    (groups / "system/howdah/memory.max").write_text("max\n")
    (groups / "system/memory.max").write_text("1073741824\n")
    assert machine.memory(groups, own) == 1 << 30
    (groups / "system/howdah/memory.max").write_text("536870912\n")
    assert machine.memory(groups, own) == 1 << 29


def test_version_1_and_none(tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    (groups / "memory/howdah").mkdir(parents=True)
    (groups / "memory/howdah/memory.limit_in_bytes").write_text("268435456\n")
    own.write_text("4:memory:/howdah\n1:name=systemd:/\n")
    assert machine.memory(groups, own) == 1 << 28
    assert machine.memory(groups, tmp_path / "nothing") == ALL


def test_memory_can_be_given_back():
    machine.give_back()
