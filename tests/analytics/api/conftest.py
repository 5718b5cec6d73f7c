"""The interface on a real engine, for all tests of it."""

import pytest

from tests.analytics.api.application import Client


@pytest.fixture
def client():
    return Client()
