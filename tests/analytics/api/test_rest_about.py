"""What the program says of itself where sFlow-RT's clients ask for licence, scripts, apps and BGP; groups and maps."""

import pytest

from tests.analytics.api.application import AGENT, NOW, ONE_SAMPLE, flow_sample
from tests.analytics.examples import wire


def test_the_licence_limits_nothing(client):
    sent = wire.datagram(flow_sample(4), agent=AGENT)
    client.feed(flow_sample(4))
    client.now = NOW + 4
    known = client.get("/license/json")
    assert known["analyzer"]["bps"] == len(sent) * 8 / 4
    flags = {name: value for name, value in known["license"].items() if name.endswith("_ok")}
    assert flags == {"host_ok": True, "max_bps_ok": True, "expires_ok": True}
    assert known["license"]["type"] == "production"
    assert client.get("/license/json")["analyzer"]["bps"] == len(sent) * 8 / 4, "of the last second or more"


def test_apps_are_parts_of_the_program(client):
    apps = client.get("/apps/json")
    assert apps == {"prometheus": {"scripts": ["export.js"]}, "topology": {"scripts": ["topology.js"]}}
    assert client.get("/scripts/json") == {}
    assert client.text("/status") == "OK"
    for name in apps:
        assert client.text(f"/app/{name}/status") == "OK"
    assert client.refusal("GET", "/app/ddos-protect/status") == (404, "no app 'ddos-protect'")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/bgp/topprefixes/10.0.0.1/json"),
        ("GET", "/bgp/topprefixes6/10.0.0.1/json"),
        ("GET", "/bgp/prefix/10.0.0.1/json?address=10.0.0.2"),
        ("GET", "/bgp/routepusher/10.0.0.1/json"),
        ("PUT", "/bgp/routepusher/10.0.0.1/10.1.0.0/16/json"),
        ("DELETE", "/bgp/flowspec/10.0.0.1/json"),
    ],
)
def test_bgp_is_refused_as_for_a_router_without_a_session(client, method, path):
    assert client.refusal(method, path) == (404, "no BGP session: this program does not speak BGP")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/groups/json", "/group/json"),
        ("/script/top.js/json", "howdah run"),
        ("/app/browse-flows/scripts/top.js/flowkeys/json", "howdah run"),
        ("/app/prometheus/scripts/export.js/nonsense/txt", "prometheus/scripts/export.js"),
        ("/app/browse-flows/html/index.html", "no app's pages"),
        ("/inc/img/inmon.svg", "widgets"),
        ("/of/switch/ALL/json", "the controller"),
        ("/agents/html", "/json"),
        ("/agents", "/api/index.html"),
        ("/nonsense/" + "x" * 5000, "/api/index.html"),
    ],
)
def test_what_is_not_there_is_named_and_where_to_look_instead(client, path, word):
    status, line = client.refusal("GET", path)
    assert status == 404
    assert line.startswith(f"nothing at '{path[:100]}': ")
    assert word in line
    assert len(line) < 300


def test_a_method_that_is_not_there_is_named(client):
    assert client.refusal("DELETE", "/topology/json") == (405, "DELETE is no method of /topology/json")


def test_groups(client):
    client.put("/group/sites/json", "{external:['0.0.0.0/0'],lab:['10.0.0.0/24']}")
    client.put("/flow/f/json", {"keys": "group:ipsource:sites", "value": "bytes"})
    client.feed(flow_sample(4, source="10.0.0.7"), flow_sample(4, source="10.0.1.7"), flow_sample(4, source="9.9.9.9"))
    found = {flow["key"]: flow["value"] for flow in client.get("/activeflows/ALL/f/json")}
    assert found == {"lab": pytest.approx(ONE_SAMPLE), "external": pytest.approx(2 * ONE_SAMPLE)}
    spec = {"external": ["0.0.0.0/0"], "lab": ["10.0.0.0/24"]}
    assert client.get("/group/sites/json") == spec
    assert client.get("/group/json") == {"sites": spec}
    assert client.request("DELETE", "/group/sites/json").status_code == 204
    for method in ("GET", "DELETE"):
        assert client.refusal(method, "/group/sites/json") == (404, "no group 'sites'")


def test_maps(client):
    client.put("/map/ports/json", {"web": ["80", 443], "iperf": ["5001"]})
    client.put("/flow/f/json", {"keys": "map:tcpdestinationport:ports", "value": "frames"})
    client.feed(flow_sample(4, dport=443), flow_sample(4, dport=5001), flow_sample(4, dport=22))
    assert {flow["key"] for flow in client.get("/activeflows/ALL/f/json")} == {"web", "iperf"}
    assert client.get("/map/json") == {"ports": client.get("/map/ports/json")}
    assert client.get("/map/ports/json") == {"web": ["80", "443"], "iperf": ["5001"]}
    assert client.request("DELETE", "/map/ports/json").status_code == 204
    for method in ("GET", "DELETE"):
        assert client.refusal(method, "/map/ports/json") == (404, "no map 'ports'")


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/group/g/json", {"lab": ["10.0.0.300"]}, "'10.0.0.300' of label 'lab' is not an address or prefix"),
        ("/group/g/json", {"lab": "10.0.0.0/8"}, "label 'lab' has no list"),
        ("/group/g:h/json", {}, "character ':' is not allowed"),
        ("/map/m/json", {"web": [1.5]}, "'1.5' of label 'web' is neither text nor a whole number"),
        ("/map/m/json", [], "the body must be a JSON object"),
    ],
)
def test_wrong_groups_and_maps_are_named(client, path, body, word):
    status, line = client.refusal("PUT", path, json=body)
    assert (status, word in line) == (400, True), line


def test_a_large_group_is_taken(client):
    prefixes = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)]
    client.put("/group/big/json", {"lab": prefixes})
    assert client.get("/group/big/json")["lab"] == prefixes
