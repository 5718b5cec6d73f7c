"""What the tests of client share: a real analytics, and scripts as programs."""

import textwrap

import pytest

from tests.client.fixtures import begin, program, switch, url  # noqa: F401 - fixtures


@pytest.fixture
def run(begin, tmp_path):  # noqa: F811 - the fixture
    """Starts a script, given as text."""

    def starter(text, **environment):
        path = tmp_path / "tried.py"
        path.write_text(textwrap.dedent(text))
        return begin(path, **{"HOWDAH_STORE": str(tmp_path / "store")} | environment)

    return starter
