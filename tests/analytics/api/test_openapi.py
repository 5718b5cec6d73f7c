"""analytics/openapi.yaml and the program say the same: schemathesis makes requests from the one and checks the other.

Valid and invalid requests, a fixed seed, a bounded number of examples. Every answer must have a documented status,
content type and schema; what the description allows must be accepted. The engine has live traffic, so the answers are
not all empty. (That invalid requests are refused is test_refusals' business: relaxed JSON makes "invalid" a soft word.)
"""

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from analytics.api import rest
from analytics.engine import Engine
from analytics.topology import parse
from documents.httpguard import Access
from tests.analytics.examples import wire

NOW = 1_700_000_000.0
AGENT = "10.0.0.9"
EXAMPLES = 12  # per operation


TRAFFIC = wire.datagram(
    wire.flow_sample(wire.sampled_header(wire.ethernet(wire.ipv4(wire.tcp(), 6))), source=(0, 4), ports=(4, 5)),
    wire.counter_sample(wire.if_counters(4), source=(0, 4)),
    agent=AGENT,
)

TOPOLOGY = {
    "nodes": {"s1": {"agent": AGENT, "ports": {"p1": {"ifindex": "4"}}}},
    "links": {"s1-s2": {"node1": "s1", "port1": "p1", "node2": "s2", "port2": "p1"}},
    "hosts": {"h1": {"node": "s1", "port": "p1", "mac": "00:04:00:00:01:01", "ipv4": "10.0.1.1"}},
}

engine = Engine()
ACCESS = Access(hosts=("testserver",))  # as Starlette's test client calls it
app = rest.build(engine, version="test", access=ACCESS, clock=lambda: NOW)
schema = schemathesis.openapi.from_asgi("/openapi.yaml", app)


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_answers_are_as_described(case):
    engine.set_flow("known", {"value": "bytes"})
    engine.set_threshold("known", {"metric": "known", "value": 1})
    engine.set_group("known", {"all": ["0.0.0.0/0"]})
    engine.set_map("known", {"web": ["80"]})
    engine.set_topology(parse(TOPOLOGY))
    engine.feed([TRAFFIC], NOW)
    name_what_exists(case)
    if case.path in ("/events/json", "/flows/json", "/v1/events"):
        case.query["timeout"] = "0"  # no waiting here; test_server does
    case.call_and_validate(
        checks=[
            not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
            checks.unsupported_method,
        ]
    )


def name_what_exists(case):
    """In half of the cases, so that the answers are not all 404."""
    exists = {
        "agent": AGENT,
        "group": "known",
        "name": {"/flowvalue/{agent}/{name}/json": "4.known", "/app/{name}/status": "topology"}.get(case.path, "known"),
        "metric": "known,max:ifspeed,ifinoctets",
        "key": "",
        "node": "s1",
        "from": "s1",
        "to": "s2",
        "link": "s1-s2",
        "ifindex": "4",
        "address": "h1",
    }
    if sum(len(str(value)) for value in case.path_parameters.values()) % 2 or len(str(case.query)) % 2:
        for parameters in (case.path_parameters, case.query):
            parameters.update({name: exists[name] for name in parameters if name in exists})
