"""analytics.config: defaults, file, options; refusals that name the key."""

import dataclasses

import pytest

from analytics.config import Settings, is_loopback, load
from documents.httpguard import Access
from documents.strict import DocumentError


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "howdah.yaml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_loopback_and_the_well_known_ports():
    assert load() == Settings(
        host="127.0.0.1", port=8008, sflow_host="127.0.0.1", sflow_port=6343, events=1000, token=None, replay=None
    )


def test_memory_has_a_least():
    assert load(memory=1 << 30).memory == 1 << 30
    assert load().memory is None
    with pytest.raises(ValueError, match="memory 1000 is not between 167772160 and"):
        load(memory=1000)


def test_options_win_over_the_file_and_the_file_over_defaults(file):
    path = file("analytics:\n  port: 9000\n  events: 50\ncontroller:\n  anything: 1\n")
    settings = load(path, port=9001, host=None)
    assert (settings.port, settings.events, settings.host) == (9001, 50, "127.0.0.1")


def test_receiving(file):
    settings = load(file("analytics: {sflow_sockets: 4, sflow_sources: [10.0.0.0/8, '2001:db8::/32']}\n"))
    assert (settings.sflow_sockets, settings.sflow_sources) == (4, ("10.0.0.0/8", "2001:db8::/32"))


def test_a_file_without_our_section_gives_the_defaults(file):
    assert load(file("controller: {}\n")) == Settings()


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1


def test_a_token_opens_other_addresses(file):
    settings = load(file("analytics: {host: 0.0.0.0, token: s3cret}\n"))
    assert (settings.host, settings.token) == ("0.0.0.0", "s3cret")
    assert load(file("analytics: {token: s3cret}\n"), host="10.0.0.1").host == "10.0.0.1"


def test_who_may_ask(file):
    access = load(file("analytics: {token: t, token_for_reading: true, hosts: [collector]}\n")).access("me.example")
    assert access == Access("t", True, ("collector", "me.example"), "analytics.hosts")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("analytics:\n  evnts: 1\n", "howdah.yaml:2: unknown key 'evnts' in 'analytics'; did you mean 'events'?"),
        ("analytics:\n  port: high\n", "howdah.yaml:2: 'analytics.port': expected a whole number, got 'high'"),
        ("analytics:\n  port: 70000\n", "howdah.yaml:2: 'analytics': port 70000 is not between 0 and 65535"),
        ("analytics: {events: 0}\n", "howdah.yaml:1: 'analytics': events 0 is not between 1 and 1000000"),
        ("analytics: {sflow_sockets: 0}\n", "howdah.yaml:1: 'analytics': sflow_sockets 0 is not between 1 and 64"),
        (
            "analytics: {sflow_sources: [10.0.0.0/8, leaf1]}\n",
            "'analytics': sflow_sources: 'leaf1' is neither an address nor a prefix such as 192.0.2.0/24",
        ),
        ("analytics: {token: ''}\n", "howdah.yaml:1: 'analytics': token is empty"),
        ("analytics: {token_for_reading: true}\n", "howdah.yaml:1: 'analytics': token_for_reading needs a token"),
        (
            "analytics: {hosts: ['collector:8008']}\n",
            "hosts: 'collector:8008' is not a host's name (without scheme and port)",
        ),
        ("analytics: {token: 'a b'}\n", "howdah.yaml:1: 'analytics': token must be printable ASCII without spaces"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_line(file, text, complaint):
    with pytest.raises(DocumentError) as refused:
        load(file(text))
    assert str(refused.value).endswith(complaint)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_another_address_without_a_token_is_refused():
    with pytest.raises(ValueError, match=r"^host 0\.0\.0\.0 can be reached from elsewhere: writing then needs a token"):
        load(host="0.0.0.0")


@pytest.mark.parametrize(
    ("loopback", "hosts"),
    [(True, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]), (False, ["0.0.0.0", "::", "10.0.0.1", "myhost"])],
)
def test_loopback(loopback, hosts):
    assert [is_loopback(host) for host in hosts] == [loopback] * 4
