"""What the tests of client share: a real analytics, and scripts as programs."""

import textwrap

import pytest

from tests.analytics.program import Program
from tests.client.process import Process
from tests.switch import Switch


@pytest.fixture
def program():
    made = Program()
    yield made
    if made.process.poll() is None:
        made.end()


@pytest.fixture
def switch(program):
    return Switch(program.source)


@pytest.fixture
def run(program, tmp_path):
    """Starts a script, given as text, beside `program`."""
    running = []

    def starter(text, **environment):
        path = tmp_path / "tried.py"
        path.write_text(textwrap.dedent(text))
        state = {"HOWDAH_STORE": str(tmp_path / "store")}
        running.append(Process(path, f"http://127.0.0.1:{program.port}", **state | environment))
        return running[-1]

    yield starter
    for process in running:
        process.close()
