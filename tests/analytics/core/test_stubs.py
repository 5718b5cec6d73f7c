"""The stubs of the compiled modules: the names, classes, parameters and defaults that they have, and no others."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OF_CYTHON = ("__pyx_capi__", "__reduce_cython__", "__setstate_cython__", "__test__")  # in every compiled module


def modules(suffix: str) -> set[str]:
    """The modules of the core that have a file of that suffix."""
    files = (ROOT / "analytics/core").rglob(f"*{suffix}")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}


def test_stubs_and_compiled_modules_agree(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(f".*\\.{name}\n" for name in OF_CYTHON))
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *sorted(modules(".pyi")), "--allowlist", str(allowed),
         "--ignore-unused-allowlist"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_without_a_stub_have_nothing_for_python():
    assert modules(".pyi") < modules(".pyx")
    for name in modules(".pyx") - modules(".pyi"):
        public = {each for each, value in vars(importlib.import_module(name)).items() if not each.startswith("_")}
        assert not public - {"recordkeys", "ipv6"}, name  # tables that they compile


def test_mypy_knows_the_core(tmp_path):
    """Any would say that it skipped it."""
    asking = tmp_path / "asking.py"
    asking.write_text(
        "from analytics.core.pipeline import Pipeline\n"
        "reveal_type(Pipeline)\nreveal_type(Pipeline(1, 2, 3, 4, 5, 6).classifier)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(asking)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = [line.partition("note: ")[2] for line in done.stdout.splitlines() if "note: " in line]
    assert said == [
        'Revealed type is "def (seed: int, max_agents: int, max_sources: int, max_ledger_bytes: int, '
        'max_counter_bytes: int, max_microflow_bytes: int) -> analytics.core.pipeline.Pipeline"',
        'Revealed type is "analytics.core.flows.classifier.Classifier"',
    ]
