"""analytics/openapi.yaml and the program say the same: schemathesis makes requests from the one and checks the other.

Valid and invalid requests, a fixed seed, a bounded number of examples. Every answer must have a documented status,
content type and schema; what the description allows must be accepted. The engine has live traffic, so the answers are
not all empty. (That invalid requests are refused is test_rest's business: relaxed JSON makes "invalid" a soft word.)
"""

import socket
import struct

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from analytics import rest
from analytics.engine import Engine

NOW = 1_700_000_000.0
AGENT = "10.0.0.9"
EXAMPLES = 12  # per operation


def traffic():
    """sFlow v5 from AGENT: a sampled frame and interface counters of port 4."""
    frame = struct.pack("!IIII", 1, 1500, 4, 60) + bytes(60)
    flow = struct.pack("!IIIIIIII", 1, 4, 100, 0, 0, 4, 5, 1) + struct.pack("!II", 1, len(frame)) + frame
    counters = struct.pack("!IIQII", 4, 6, 10_000_000, 1, 3) + bytes(64)
    counter = struct.pack("!III", 1, 4, 1) + struct.pack("!II", 1, len(counters)) + counters
    samples = b"".join(struct.pack("!II", tag, len(body)) + body for tag, body in ((1, flow), (2, counter)))
    return struct.pack("!II4sIIII", 5, 1, socket.inet_aton(AGENT), 0, 1, 1000, 2) + samples


engine = Engine()
schema = schemathesis.openapi.from_asgi("/openapi.yaml", rest.build(engine, version="test", clock=lambda: NOW))


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
    engine.feed([traffic()], NOW)
    name_what_exists(case)
    if case.path == "/events/json":
        case.query["timeout"] = "0"  # nobody waits here; test_main does
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
        "name": "4.known" if case.path.startswith("/flowvalue/") else "known",
        "metric": "known,max:ifspeed,ifinoctets",
    }
    for parameter, value in case.path_parameters.items():
        if len(str(value)) % 2:
            case.path_parameters[parameter] = exists[parameter]
            if "key" in case.query:
                case.query["key"] = ""
