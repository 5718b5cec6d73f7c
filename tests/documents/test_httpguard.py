"""documents.httpguard: which requests a browser's page can make a program look at, and which a script can."""

import pytest

from documents.httpguard import LOCAL, MAX_TARGET, Access, joined

OURS = {"host": "127.0.0.1:8080"}
JSON = {"content-type": "application/json"}


def status(method="GET", target=b"/v1/policy", access=LOCAL, **headers):
    given = OURS | {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    refusal = access.refusal(method, target, {name: value for name, value in given.items() if value != "absent"})
    return refusal.status if refusal else None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8008", "192.0.2.7:1", "[::1]:8008", "[2001:db8::1]", "localhost", "LocalHost:8008",
     "localhost.:8008", "collector:8008", "COLLECTOR"],
)  # fmt: skip
def test_a_host_that_no_other_page_can_have_is_ours(host):
    assert status(host=host, access=Access(hosts=("Collector",))) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost", "", ":8008",
     "127.0.0.1:8008,evil.example", "user@127.0.0.1", "[::1", "127.0.0.1:99999999", "[evil]", "a b"],
)  # fmt: skip
def test_a_host_that_a_page_can_make_resolve_to_us_is_refused(host):
    assert status(host=host) == 421


def test_a_refused_host_says_where_a_name_is_added():
    refusal = Access(option="analytics.hosts").refusal("GET", b"/", {"host": "evil.example"})
    assert refusal.reason == (
        "Host 'evil.example' is no address and no name of this program; "
        "analytics.hosts in its configuration lists names"
    )
    assert Access().refusal("GET", b"/", {}).status == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://localhost:8080",
        "",
        "https://127.0.0.1:8080.evil",
    ],
)
def test_another_sites_request_is_refused_whatever_it_asks(method, origin):
    assert status(method, origin=origin, **JSON) == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "https://127.0.0.1:8080"])
def test_our_own_pages_may_write(origin):
    assert status("PUT", origin=origin, content_type="application/json") is None


@pytest.mark.parametrize(
    ("method", "kind", "refused"),
    [
        ("PUT", "application/json", None),
        ("PUT", "Application/JSON; charset=utf-8", None),
        ("PUT", "application/merge-patch+json", None),
        ("PUT", "absent", None),  # sFlow-RT's Python clients
        ("PUT", "text/plain", 415),
        ("PUT", "application/x-www-form-urlencoded", 415),
        ("PUT", "multipart/form-data", 415),
        ("PUT", "", 415),
        ("PATCH", "text/plain", 415),
        ("POST", "text/plain", 415),
        ("POST", "absent", 415),  # a page may send it so without a preflight
        ("POST", "text/plain,application/json", 415),
        ("POST", "application/json", None),
        ("DELETE", "absent", None),
        ("DELETE", "text/plain", None),  # what it carries is not read
        ("GET", "text/plain", None),
    ],
)
def test_what_is_written_is_json(method, kind, refused):
    assert status(method, content_type=kind, content_length="2") == refused
    assert status(method, content_type=kind, transfer_encoding="chunked") == refused
    assert status(method, content_type=kind, content_length="0") is None  # nothing is read


def test_a_token_is_for_writing_and_if_the_operator_says_so_for_reading():
    writing, both = Access(token="s3cret"), Access(token="s3cret", token_for_reading=True)
    for given in (
        "absent",
        "",
        "Bearer",
        "Bearer wrong",
        "Basic s3cret",
        "s3cret",
        "Bearer s3cret,Bearer s3cret",
        "Bearer \xff",
    ):
        for method in ("PUT", "DELETE", "POST"):
            assert status(method, access=writing, authorization=given, content_type="application/json") in (401, 400)
        assert status("GET", access=both, authorization=given) in (401, 400)
    for given in ("Bearer s3cret", "bearer  s3cret "):
        assert status("PUT", access=writing, authorization=given) is None
        assert status("GET", access=both, authorization=given) is None
    assert status("GET", access=writing) is None
    assert writing.refusal("PUT", b"/", OURS).headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        (b"/flow/f/json?filter=%E2%82%AC", None),
        (b"/flow/%ff/json", 400),
        (b"/flow/f/json?a=%c3%28", 400),
        (b"/" + b"a" * MAX_TARGET, 414),
    ],
)
def test_the_target_is_text(target, refused):
    assert status(target=target) == refused


def test_headers_are_text():
    assert status(x_name="Gr\xc3\xbc\xc3\x9fe") is None
    refusal = Access().refusal("GET", b"/", OURS | {"x-name": "Gr\xfc\xdfe"})
    assert (refusal.status, refusal.reason) == (400, "the header 'x-name' is not UTF-8: 'Gr\\xfc\\xdfe'")


def test_a_refusal_is_one_short_line():
    for headers in ({"host": "e\x1b[2J" * 5000}, OURS | {"origin": "e\n" * 5000}, OURS | {"x": "\xff" * 5000}):
        reason = Access().refusal("PUT", b"/", headers).reason
        assert len(reason) < 500
        assert reason.isprintable()


def test_a_header_that_came_twice_is_joined():
    assert joined([(b"Host", b"a"), (b"X", b"\xff"), (b"host", b"b")]) == {"host": "a,b", "x": "\xff"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"token": ""}, "token is empty"),
        ({"token": "a b"}, "token must be printable ASCII without spaces"),
        ({"token": "\xfc"}, "token must be printable ASCII without spaces"),
        ({"token_for_reading": True}, "token_for_reading needs a token"),
        ({"hosts": ("http://collector",)}, "hosts: 'http://collector' is not a host's name (without scheme and port)"),
        ({"hosts": ("collector:8008",)}, "hosts: 'collector:8008' is not a host's name (without scheme and port)"),
    ],
)
def test_what_cannot_work_is_refused_by_name(settings, said):
    with pytest.raises(ValueError) as error:
        Access(**settings)
    assert str(error.value) == said
