"""A real analytics with programs beside it: fixtures of all tests that run scripts, examples and foreign clients."""

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
def url(program):
    return f"http://127.0.0.1:{program.port}"


@pytest.fixture
def switch(program):
    return Switch(program.source)


@pytest.fixture
def begin(url):
    """Starts a program beside `program`, which is told its URL: (path, words, environment)."""
    running = []

    def beginning(path, *words, **environment):
        running.append(Process(path, url, *words, **environment))
        return running[-1]

    yield beginning
    for process in running:
        process.close()
