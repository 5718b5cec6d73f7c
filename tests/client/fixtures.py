"""A real analytics with programs beside it: fixtures of all tests that run scripts, examples and foreign clients."""

import sys

import pytest

from tests.analytics.program import Program
from tests.client.process import Process
from tests.ryu_manager import free_ports
from tests.switch import Switch


@pytest.fixture
def program():
    """On a port that a second one can be given, when the first has ended."""
    made = Program("--port", *map(str, free_ports(1)))
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
        environment["HOWDAH_ANALYTICS_URL"] = url
        running.append(Process(sys.executable, "-u", str(path), *words, **environment))
        return running[-1]

    yield beginning
    for process in running:
        process.close()
