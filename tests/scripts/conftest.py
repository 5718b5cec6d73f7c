"""Programs beside a real analytics: the fixtures that the tests of client have too."""

from tests.client.fixtures import begin, program, switch, url  # noqa: F401 - fixtures
