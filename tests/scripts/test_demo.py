"""scripts/demo sets the machine up before it plays, and only then."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone whose programs only say that they were called."""
    programs = {"scripts/setup": "setup", ".venv/bin/python": "python"}
    for program, name in programs.items():
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / program).chmod(0o755)
    shutil.copy(ROOT / "scripts/demo", tmp_path / "scripts/demo")
    return tmp_path


def called(clone, *words):
    done = subprocess.run([clone / "scripts/demo", *words], check=False, capture_output=True, text=True)
    return done.stdout.splitlines(), done.stderr


def test_help_sets_nothing_up(clone):
    assert called(clone, "--help") == ([f"python -I {clone}/scripts/experiments/demo.py --help"], "")


def test_the_machine_is_set_up_first(clone):
    said, complaints = called(clone, "--keep")
    if os.geteuid() == 0:
        assert said == ["setup", f"python -I {clone}/scripts/experiments/demo.py --keep"]
    else:
        assert (said, "needs root" in complaints) == ([], True)
