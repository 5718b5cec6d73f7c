"""The command `howdah` in this process, and analytics in one of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from tests.analytics.conftest import start  # noqa: F401 - the fixture

HOWDAH = Path(__file__).parents[2] / "scripts/howdah"
Howdah = Callable[..., Result]


@pytest.fixture(scope="session")
def app() -> typer.Typer:
    loader = SourceFileLoader("howdah_command", str(HOWDAH))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    made: typer.Typer = module.app
    return made


@pytest.fixture
def howdah(app) -> Howdah:
    """Runs `howdah WORDS`; stdout and stderr apart."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words), env={"COLUMNS": "160", "NO_COLOR": "1"})

    return run
