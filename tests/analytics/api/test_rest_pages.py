"""Pages, the explorer and the description; pages of other sites that are let in (CORS)."""

import json
import re

import pytest
import yaml

from analytics.config import Settings
from documents.httpguard import ANSWER_HEADERS, Access
from tests.analytics.api.application import Client

DASHBOARD = "https://dashboard.example:3000"


def test_the_explorer_needs_nothing_from_elsewhere(client):
    page = client.text("/api/index.html")
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert wanted == ["data:,", "swagger-ui.css", "swagger-ui-bundle.js", "index.js"]
    for name in wanted[1:]:
        assert len(client.text(f"/api/{name}")) > 50
    assert 'url: "../api-docs"' in client.text("/api/index.js")
    assert "<script>" not in page


def test_only_the_explorer_may_write_styles_into_its_page(client):
    policy = client.request("GET", "/api/index.html").headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert "style-src 'self' 'unsafe-inline'" in policy[0]
    assert "script-src 'self';" in policy[0]
    assert "default-src 'none'" in policy[0]
    for path in ("/html/index.html", "/api-docs", "/flow/json"):
        assert (
            client.request("GET", path).headers["content-security-policy"] == ANSWER_HEADERS["Content-Security-Policy"]
        )


def test_the_description_is_one_that_the_explorer_understands(client):
    """Swagger UI 4 shows OpenAPI 3.0 but not 3.1, whose schemas have lists of types and `const`."""
    document = client.get("/api-docs")
    assert document == yaml.safe_load(client.text("/openapi.yaml"))
    assert document["openapi"].startswith("3.0.")

    def check(part):
        if isinstance(part, dict):
            assert not isinstance(part.get("type"), list), part
            assert "const" not in part, part
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            check(inner)

    check(document["components"])
    check(document["paths"])


def test_no_comma_cuts_a_description(client):
    """In YAML's flow style a comma ends a text, and what follows is a key without a value."""
    pieces = [client.get("/api-docs")]
    for piece in pieces:
        assert piece is not None
        pieces.extend(piece.values() if isinstance(piece, dict) else piece if isinstance(piece, list) else ())


def test_every_path_is_described(client):
    described = {re.sub(r"{\w+}", "{}", path) for path in client.get("/api-docs")["paths"]}
    served = {re.sub(r"{\w+(:path)?}", "{}", route.path) for route in client.app.routes}
    pages = {path for path in served if path.startswith(("/html/", "/api/"))} | {"/", "/api-docs"}
    assert served - described - pages == set()


@pytest.mark.parametrize("path", ["/html/index.html", "/api/swagger-ui-bundle.js", "/openapi.yaml", "/api-docs"])
def test_who_has_a_page_does_not_get_it_again(client, path):
    first = client.request("GET", path)
    tag = first.headers["etag"]
    for known in (tag, f'W/"old", {tag}', "*"):
        again = client.request("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.request("GET", path, headers={"If-None-Match": 'W/"old"'}).content == first.content
    head = client.request("HEAD", path)
    assert (head.status_code, head.headers["etag"]) == (200, tag)
    assert head.headers["content-length"] == str(
        len(client.request("GET", path, headers={"Accept-Encoding": ""}).content)
    )


def test_assets_for_apps_inside_sflow_rt_are_not_there(client):
    assert client.request("GET", "/inc/img/inmon.svg").status_code == 404


def test_the_root_leads_to_the_landing_page(client):
    answer = client.request("GET", "/")
    assert (answer.status_code, answer.headers["location"]) == (302, "html/index.html")


# CORS (Fetch standard)


def test_no_other_site_is_let_in_by_default(client):
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": DASHBOARD, "Access-Control-Request-Method": "GET"}
        answer = client.request(method, "/flow/json", headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_listed_site_reads_and_writes():
    client = Client(Access(origins=(DASHBOARD,)))
    asking = {"Origin": DASHBOARD, "Access-Control-Request-Method": "PUT"}
    preflight = client.request("OPTIONS", "/flow/f/json", headers=asking)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == DASHBOARD
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "Content-Type" in preflight.headers["access-control-allow-headers"]
    put = client.request("PUT", "/flow/f/json", json={"value": "bytes"}, headers={"Origin": DASHBOARD})
    assert put.status_code == 204
    got = client.request("GET", "/flow/json", headers={"Origin": DASHBOARD})
    assert got.headers["access-control-allow-origin"] == DASHBOARD
    assert "Origin" in got.headers["vary"]
    assert "access-control-allow-methods" not in got.headers
    assert "access-control-allow-origin" not in client.request("GET", "/flow/json").headers
    other = client.request("GET", "/flow/json", headers={"Origin": "https://evil.example"})
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (403, False)


def test_a_listed_site_needs_the_token_too():
    client = Client(Access(token="s3cret", token_for_reading=True, origins=(DASHBOARD,)))
    asking = {"Origin": DASHBOARD, "Access-Control-Request-Method": "GET"}
    assert client.request("OPTIONS", "/flow/json", headers=asking).status_code == 204
    refused = client.request("GET", "/flow/json", headers={"Origin": DASHBOARD})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == DASHBOARD, "the page may read why"
    allowed = {"Origin": DASHBOARD, "Authorization": "Bearer s3cret"}
    assert json.loads(client.request("GET", "/flow/json", headers=allowed).text) == {}


@pytest.mark.parametrize(
    "origin", ["*", "dashboard.example", "https://a.example/", "https://a b", "ftp://a.example", ""]
)
def test_only_origins_can_be_listed(origin):
    with pytest.raises(ValueError, match=r"cors_origins: .* is no origin"):
        Settings(cors_origins=(origin,))


def test_the_listed_sites_are_a_setting():
    access = Settings(cors_origins=(DASHBOARD, "http://[::1]:3000")).access()
    assert access.origins == (DASHBOARD, "http://[::1]:3000")
