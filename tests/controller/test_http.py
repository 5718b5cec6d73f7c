"""controller.listener.guarded: what stands around Ryu's HTTP applications."""

import json

import pytest

from controller.listener import MAX_BODY, guarded
from documents.httpguard import ANSWER_HEADERS, Access


def ask(application, *headers, method="GET", path="/v1/status"):
    """(status, headers, body) of one request, and the faults it made."""
    begun, faults = [], []
    environ = {
        "REQUEST_METHOD": method,
        "RAW_PATH_INFO": path,
        "headers_raw": (("Host", "127.0.0.1"), *headers),
    }
    guard = guarded(application, Access(token="s3cret"), lambda kind, error: faults.append((kind, error)))
    body = b"".join(guard(environ, lambda status, given: begun.append((status, dict(given)))))
    ((status, given),) = begun
    return status, given, body, faults


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]


def test_what_is_let_in_is_answered_with_the_headers_that_bind_a_browser():
    status, headers, body, faults = ask(application)
    assert (status, body, faults) == ("200 OK", b"here", [])
    assert headers == {"Content-Type": "text/plain", **ANSWER_HEADERS}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("PUT", [], "401 Unauthorized"),
        ("GET", [("Origin", "http://evil.example")], "403 Forbidden"),
        ("GET", [("host", "evil.example")], "421 Misdirected Request"),  # a second one
        ("GET", [("Content-Length", str(MAX_BODY + 1))], "413 Request Entity Too Large"),
        ("GET", [("Content-Length", "9" * 400)], "413 Request Entity Too Large"),
        ("GET", [("Transfer-Encoding", "chunked")], "411 Length Required"),
        ("GET", [("X-Name", "\xff")], "400 Bad Request"),
    ],
)
def test_what_is_not_let_in_never_reaches_an_application(method, headers, status):
    def never(environ, start_response):
        raise AssertionError("it was asked")

    answered, given, body, faults = ask(never, *headers, method=method)
    assert (answered.split()[0], faults) == (status.split()[0], [])
    assert json.loads(body)["error"].isprintable()
    assert given["X-Frame-Options"] == "DENY"
    assert ("WWW-Authenticate" in given) == (method == "PUT")


def test_a_bug_in_an_application_is_a_fault_and_an_answer():
    def broken(environ, start_response):
        raise ZeroDivisionError("a bug")

    status, _, body, ((kind, error),) = ask(broken)
    assert status == "500 Internal Server Error"
    assert json.loads(body) == {"error": "a fault of the controller; see its log"}
    assert (kind, str(error)) == ("request", "a bug")
