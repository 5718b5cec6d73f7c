"""Who may ask, what binds a browser, and what becomes of a bug."""

import json

from documents.httpguard import Access
from tests.analytics.api.application import (
    Client,
)


def test_pages_of_other_sites_can_neither_read_nor_write(client):
    """The reproductions of issue 8, finding 12: a cross-site write, a rebound name."""
    body, page = "{value:'bytes'}", {"Origin": "http://evil.example"}
    for method in ("PUT", "POST", "DELETE"):
        assert client.refusal(method, "/flow/f/json", content=body, headers=page)[0] == 403
    assert client.refusal("PUT", "/flow/f/json", content=body, headers={"Content-Type": "text/plain"})[0] == 415
    assert client.refusal("GET", "/flow/json", headers={"Host": "evil.example:8008"})[0] == 421
    assert client.get("/flow/json") == {}
    for method in ("POST", "PATCH", "OPTIONS"):
        answer = client.request(method, "/flow/f/json")
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "PUT", "DELETE"})


def test_every_answer_carries_the_headers_that_bind_a_browser(client):
    for path in ("/html/index.html", "/version", "/flow/none/json", "/nowhere"):
        answer = client.request("GET", path)
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    page = client.text("/html/index.html")
    assert "<script>" not in page, "the policy would not run it"
    assert "<style>" not in page
    assert "default-src" not in client.text("/html/index.js") + client.text("/html/index.css")


def test_a_bug_in_a_handler_is_counted_and_logged_once(client, caplog, monkeypatch):
    def flows():
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(client.engine, "flows", flows)
    for _ in range(3):
        assert client.refusal("GET", "/flow/json") == (500, "internal error")
    assert client.get("/analyzer/json")["faults"] == {"http": 3}
    assert 'sflow_analyzer_faults{kind="http"} 3\n' in client.text("/prometheus/analyzer/txt")
    assert caplog.text.count("Traceback") == caplog.text.count("http: a bug") == 1


def test_a_bug_while_a_poll_waits_is_an_answer(client, monkeypatch):
    def events(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(client.engine, "events", events)
    assert client.refusal("GET", "/events/json?timeout=5") == (500, "internal error")


def test_a_token_guards_writing_only():
    client = Client(Access(token="s3cret"))
    body = json.dumps({"value": "bytes"})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        answer = client.request("PUT", "/flow/f/json", content=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.request("DELETE", "/flow/f/json", headers=headers).status_code == 401
    assert client.get("/flow/json") == {}
    client.put("/flow/f/json", body, headers={"Authorization": "Bearer s3cret"})
    assert "f" in client.get("/flow/json")


def test_a_token_guards_reading_too_if_wanted():
    client = Client(Access(token="s3cret", token_for_reading=True))
    for path in ("/version", "/html/index.html", "/prometheus/metrics/ALL/ALL/txt", "/events/json"):
        assert client.request("GET", path).status_code == 401
        assert client.request("GET", path, headers={"Authorization": "Bearer s3cret"}).status_code == 200
