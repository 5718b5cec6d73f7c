"""What the interface refuses: in one short line that names what is wrong, whatever it is."""

import pytest

from analytics.api import serving, topologies
from analytics.api.parameters import MAX_SPEC
from analytics.events import watches
from analytics.memory import LEAST, Budget
from tests.analytics.api.application import (
    AGENT,
)


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("GET", "/flow/nosuch/json", "", (404, "no flow 'nosuch'")),
        ("GET", "/threshold/nosuch/json", "", (404, "no threshold 'nosuch'")),
        ("GET", "/activeflows/ALL/nosuch/json", "", (404, "no flow 'nosuch'")),
        ("GET", "/activeflows/;/f/json", "", (400, "';' names no agent")),
        (
            "GET",
            "/activeflows/ALL/f/json?maxFlows=ten",
            "",
            (400, "maxFlows 'ten' is not an integer of at least 0 and at most 50000"),
        ),
        ("GET", "/activeflows/ALL/f/json?minValue=nan", "", (400, "minValue 'nan' is not a number")),
        (
            "GET",
            "/activeflows/ALL/f/json?aggMode=most",
            "",
            (400, "aggMode 'most' is none of max, sum, avg, edge, core"),
        ),
        (
            "GET",
            "/activeflows/ALL/f/json?filter=[",
            "",
            (400, "filter '[' is not a pattern: missing ]: ["),
        ),
        (
            "GET",
            "/events/json?eventID=abc",
            "",
            (400, f"eventID 'abc' is not an integer of at least -1 and at most {2**53}"),
        ),
        ("GET", "/events/json?timeout=-1", "", (400, "timeout '-1' is not a number of at least 0 and at most 3600")),
        (
            "PUT",
            "/flow/a.b/json",
            "{}",
            (400, "flow name 'a.b': character '.' is not allowed"),
        ),
        ("PUT", "/flow/f/json", "", (400, "body is empty; a JSON object is expected")),
        ("PUT", "/flow/f/json", "[1]", (400, "flow 'f': the body must be a JSON object")),
        ("PUT", "/threshold/t/json", "7", (400, "threshold 't': the body must be a JSON object")),
        ("PUT", "/flow/f/json", "{keys:=}", (400, "body is not JSON: unexpected '=}' at offset 6")),
        ("PUT", "/topology/json", '{"nodes":[]}', (400, "nodes must be an object, not an array")),
    ],
)
def test_refusals_quote_the_offending_word(client, method, path, body, refusal):
    client.put("/flow/f/json", {"value": "bytes"})
    assert client.refusal(method, path, content=body) == refusal


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/flow/f/json", "{keys:'ipsauce',value:'bytes'}", "ipsauce"),
        ("/flow/f/json", "{keys:'ipsource',value:'bites'}", "bites"),
        ("/flow/f/json", "{keys:'ipsource'}", "value"),
        ("/flow/f/json", "{value:'bytes',filter:'ipsource<10.0.0.1'}", "<"),
        ("/flow/f/json", "{value:'bytes',n:'many'}", "many"),
        ("/threshold/t/json", "{value:1}", "metric"),
        ("/threshold/t/json", "{metric:'f',value:'lots'}", "lots"),
        ("/threshold/t/json", "{metric:'f',value:1,timeout:'soon'}", "soon"),
    ],
)
def test_the_engines_refusals_become_400(client, path, body, word):
    status, complaint = client.refusal("PUT", path, content=body)
    assert status == 400
    assert word in complaint
    assert client.refusal("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("path", "most", "what"),
    [
        ("/topology/json", topologies.MAX_TOPOLOGY, "topology"),
        ("/flow/f/json", MAX_SPEC, "flow 'f'"),
        ("/threshold/t/json", MAX_SPEC, "threshold 't'"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(client, path, most, what, chunked):
    async def chunks():
        yield b" " * most
        yield b" "

    body = chunks() if chunked else b" " * (most + 1)
    assert client.refusal("PUT", path, content=body) == (413, f"{what}: the body has more than {most} bytes")


LONG = "1" * 400


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", f"/activeflows/ALL/f/json?maxFlows={LONG}", "", f"maxFlows '{LONG[:60]}...' is not an integer"),
        ("GET", f"/activeflows/ALL/f/json?minValue={LONG}", "", f"minValue '{LONG[:60]}...' is not a number"),
        ("GET", f"/activeflows/ALL/f/json?aggMode={LONG}", "", f"aggMode '{LONG[:60]}...' is none of"),
        ("GET", "/activeflows/ALL/f/json?maxFlows=2147483648", "", "maxFlows '2147483648' is not an integer"),
        ("GET", f"/events/json?eventID={LONG}", "", f"eventID '{LONG[:60]}...' is not an integer"),
        ("GET", f"/events/json?maxEvents={LONG * 20}", "", f"maxEvents '{LONG[:60]}...' is not an integer"),
        ("GET", f"/events/json?timeout={LONG}", "", f"timeout '{LONG[:60]}...' is not a number"),
        ("GET", "/events/json?timeout=3601", "", "timeout '3601' is not a number"),
        ("GET", f"/dump/{','.join(['a'] * 257)}/ALL/json", "", "257 names of agent in one list, at most 256"),
        ("GET", f"/metric/ALL/{','.join(['a'] * 257)}/json", "", "257 names of metric in one list, at most 256"),
        ("GET", f"/flow/{'a' * 9000}/json", "", "no flow 'aaaa"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',t:{LONG}}}", f"'t': the number {LONG[:30]}... does not fit"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',n:-{LONG}}}", f"'n': the number -{LONG[:29]}... does not fit"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',activeTimeout:{LONG}}}", "'activeTimeout': the number 1111"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',keys:{LONG * 20}}}", "body is not JSON"),
        ("PUT", "/flow/f/json", "{value:'bytes',t:1e400}", "body is not JSON"),
        ("PUT", "/flow/f/json", LONG, "body: the number 1111"),
        ("PUT", "/flow/f/json", "[" * 5000, "body is nested too deeply"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',filter:'{'(' * 9000}'}}", ""),
        ("PUT", "/flow/f/json", f"{{value:'bytes',keys:'{'or:[' * 9000}'}}", ""),
        ("PUT", "/flow/f/json", f"{{value:'{'a' * 9000}'}}", "unknown value 'aaa"),
        ("PUT", f"/flow/{'a' * 129}/json", "{value:'bytes'}", f"flow name '{'a' * 40}'... has more than 128"),
        ("PUT", f"/threshold/{'a' * 129}/json", "{metric:'f',value:1}", f"threshold name '{'a' * 40}'... has more"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:{LONG}}}", "'value': the number 1111"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:1,timeout:{LONG}}}", "'timeout': the number 1111"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:1,filter:{{ifspeed:[{LONG}]}}}}", "'ifspeed': the number"),
        ("PUT", "/topology/json", f'{{"nodes":{{"s":{{"ports":{{"p":{{"speed":{LONG}}}}}}}}}}}', "'speed': the number"),
        ("PUT", "/topology/json", f'{{"anything":[[{LONG}]]}}', "'anything': the number 1111"),
        ("PUT", "/topology/json", "{a:" + " " * 20_000 + "1}", "relaxed JSON has at most 16384 bytes"),
    ],
)  # fmt: skip
def test_the_absurd_is_refused_in_a_short_line(client, method, path, body, said):
    client.put("/flow/f/json", {"value": "bytes"})
    status, line = client.refusal(method, path, content=body)
    assert status == (404 if said.startswith("no flow") else 400)
    assert said in line
    assert len(line) <= serving.MAX_REFUSAL + len("...")
    for known in ("/flow/json", "/threshold/json", "/topology/json"):
        client.get(known)


def test_thresholds_are_bounded_in_number(client, monkeypatch):
    monkeypatch.setattr(watches, "MAX_THRESHOLDS", 2)
    for name in "ab":
        client.put(f"/threshold/{name}/json", {"metric": "ifinoctets", "value": 1})
    refusal = (400, "threshold 'c': more than 2 thresholds")
    assert client.refusal("PUT", "/threshold/c/json", content="{metric:'f',value:1}") == refusal
    client.put("/threshold/b/json", {"metric": "ifinoctets", "value": 2})  # one that exists may change


def test_flows_are_bounded_in_number(client):
    put = [client.request("PUT", f"/flow/f{n}/json", content="{value:'bytes'}") for n in range(200)]
    accepted = [answer for answer in put if answer.status_code == 204]
    assert 0 < len(accepted) < 200
    assert {answer.status_code for answer in put[len(accepted) :]} == {400}
    assert len(client.get("/flow/json")) == len(accepted)


def test_a_topology_full_of_mistakes_writes_few_lines(client, caplog):
    link = {"node1": "x", "port1": "p", "node2": "y", "port2": "p"}
    ports = {f"p{n}": {"ifindex": "4"} for n in range(2000)}
    client.put("/topology/json", {"nodes": {"x": {"agent": AGENT, "ports": ports}}})
    assert len(caplog.records) == topologies.MAX_NOTES + 1
    assert "1989 more like these" in caplog.text
    answer = client.request("PUT", "/topology/json", json={"links": {f"l{n}": link for n in range(1000)}})
    assert answer.status_code == 200
    assert answer.text.endswith(", and 1999 more; GET shows all")


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/flow/%ff/json", {}),
        ("GET", "/activeflows/ALL/f/json?filter=%ff", {}),
        ("GET", "/flow/json", {"headers": {"x-name": b"\xff"}}),
        ("PUT", "/flow/f/json", {"content": b"{value:'\xff'}"}),
    ],
)
def test_what_is_not_utf8_is_refused_without_a_traceback(client, caplog, method, path, options):
    status, line = client.refusal(method, path, **options)
    assert (status, "not UTF-8" in line) == (400, True)
    assert caplog.text == ""


def test_a_topology_beyond_its_memory_is_refused(client):
    client.engine.budget = Budget(LEAST)
    document = {"nodes": {"s" * 400_000: {"agent": AGENT, "ports": {}}}, "links": {}}
    status, text = client.refusal("PUT", "/topology/json", json=document)
    assert status == 400
    assert "bytes of memory, more than its" in text
    assert client.get("/topology/json")["version"] == 0
