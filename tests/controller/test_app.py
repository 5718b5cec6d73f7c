"""The Ryu application in the stock ryu-manager, with an analytics whose answers are wrong: what becomes of faults."""

import logging
import signal
from types import SimpleNamespace

import pytest
import requests
from ryu.controller import ofp_event
from ryu.controller.handler import MAIN_DISPATCHER

from controller.app import on
from controller.listener import MAX_BODY
from documents.faults import Faults
from tests.controller.answering import Answering, event
from tests.patience import PATIENCE_S
from tests.ryu_manager import Controller
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5)


@pytest.fixture
def answering():
    with Answering({}) as server:
        yield server


@pytest.fixture
def controller(tmp_path, answering, eventually):
    """A controller whose analytics is `answering`."""
    controller = Controller(tmp_path, SPEC.to_json())
    settings = f"controller: {{topology: topology.json, analytics: {{url: '{answering.base}'}}}}\n"
    (tmp_path / "howdah.yaml").write_text(settings)
    controller.start()
    try:
        eventually(lambda: controller.connected(0))
        yield controller
    finally:
        controller.stop()


def faults(controller):
    return controller.get("status")["faults"]


def lines(controller, text):
    return [line for line in controller.log.read_text().splitlines() if text in line]


def test_wrong_answers_are_counted_by_kind_and_give_one_traceback_each(controller, answering, eventually):
    eventually(controller.analytics_alive)
    answering.answers |= {"/events/json?eventID": event(agent=None), "/dump": b'[{"dataSource": 1}]'}
    eventually(lambda: min(faults(controller).get(kind, 0) for kind in ("event poll", "flow poll")) >= 4)
    assert controller.own_faults().keys() == {"event poll", "flow poll"}
    assert len(lines(controller, "Traceback")) == 2
    line, *_ = lines(controller, "event poll: ")
    assert f"GET {answering.base}/events/json" in line
    assert "missing required field `agent`" in line
    line, *_ = lines(controller, "flow poll: ")
    assert f"GET {answering.base}/dump/ALL/howdah_flow/json" in line

    answering.answers.clear()
    answering.put.clear()
    before = answering.asked
    eventually(lambda: answering.asked > before + 6)  # both loops went on all the time
    assert controller.analytics_alive()
    assert answering.put == []  # and nothing had to be defined again


def test_analytics_that_is_lost_is_one_kind_and_everything_is_put_again_when_it_answers(
    controller, answering, eventually
):
    eventually(controller.analytics_alive)
    answering.put.clear()
    answering.answers["/"] = (500, b"out of order")
    eventually(lambda: faults(controller).get("analytics connection"))
    eventually(lambda: not controller.analytics_alive())
    answering.answers.clear()
    eventually(controller.analytics_alive)
    assert set(answering.put) == {
        "/topology/json", "/flow/howdah_flow/json", "/threshold/howdah_elephant_5000000/json",
    }  # fmt: skip
    assert len(lines(controller, "Traceback")) == 1
    assert any("status 500 out of order" in line for line in lines(controller, "analytics connection: "))


def put_policy(controller, path="policy", method="PUT", body=b'{"steering": false}', **headers):
    given = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://127.0.0.1:{controller.http}/v1/{path}"
    request = requests.Request(method, url, {name: value for name, value in given.items() if value}, data=body)
    with requests.Session() as session:
        return session.send(request.prepare(), timeout=PATIENCE_S)


def test_other_sites_pages_and_strange_requests_change_and_learn_nothing(controller):
    """The reproductions of issue 8, finding 12, and what else is no request of ours; each is one line of JSON."""
    port = controller.http
    for expected, refused in [
        (403, {"method": "POST", "Content_Type": "text/plain", "Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (415, {"method": "POST", "Content_Type": "text/plain"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
        (415, {"method": "POST", "Content_Type": None}),
        (405, {"method": "POST"}),
        (405, {"method": "DELETE"}),
        (405, {"method": "PATCH"}),
        (421, {"Host": f"evil.example:{port}"}),
        (421, {"method": "GET", "Host": f"evil.example:{port}"}),
        (413, {"body": b" " * (MAX_BODY + 1)}),
        (411, {"body": iter([b"{}"])}),
        (400, {"path": "%ff"}),
        (400, {"method": "GET", "path": "elephants?all=%ff"}),
        (400, {"X_Name": "Gr\xfc\xdfe".encode("latin-1")}),
        (400, {"body": b'{"steering": "\xff"}'}),
        (400, {"method": "GET", "path": "elephants?all=" + "1" * 400}),
        (404, {"method": "GET", "path": "nothing"}),
    ]:
        answer = put_policy(controller, **refused)
        assert answer.status_code == expected, (refused, answer.text)
        assert answer.json()["error"].isprintable()
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert ("PUT" in answer.headers.get("Allow", "")) == (expected == 405)
    assert controller.get("policy")["steering"] is True
    assert put_policy(controller, Origin=f"http://127.0.0.1:{port}").status_code == 204
    assert controller.get("policy")["steering"] is False
    assert not controller.own_faults()
    assert not lines(controller, "Traceback")


def test_reading_needs_the_token_if_the_operator_says_so(tmp_path, answering, eventually):
    """The controller sends its own to analytics, whatever it asks."""
    controller = Controller(tmp_path, SPEC.to_json())
    (tmp_path / "howdah.yaml").write_text(
        "controller:\n  topology: topology.json\n  hosts: [fabric.example]\n"
        "  token: s3cret\n  token_for_reading: true\n"
        f"  analytics: {{url: '{answering.base}', token: other}}\n"
    )
    controller.start()
    try:
        eventually(lambda: answering.asked > 10)
        assert answering.authorizations == {"Bearer other"}
        for method in ("GET", "HEAD", "PUT"):
            assert put_policy(controller, method=method).status_code == 401
            allowed = put_policy(controller, method=method, Authorization="Bearer s3cret", Host="fabric.example:1")
            assert allowed.status_code == (204 if method == "PUT" else 200)
            assert method == "GET" or allowed.content == b""
    finally:
        controller.stop()


def test_ctrl_c_ends_a_controller_whose_threads_are_busy(controller, answering, eventually):
    answering.long_poll_s = 0.0
    eventually(lambda: answering.asked > 100)
    controller.process.send_signal(signal.SIGINT)
    assert eventually(lambda: controller.process.poll() is not None)
    assert "uncaught exception" not in controller.log.read_text()
    controller.process = None


def test_what_a_handler_raises_is_a_fault_of_its_event_and_is_logged_once(caplog):
    class App:
        faults = Faults(logging.getLogger("howdah.test"))
        seen = 0

        @on(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
        def on_packet(self, event):
            self.seen += 1
            raise KeyError(event.name)

    app = App()
    for _ in range(100):
        app.on_packet(SimpleNamespace(name="in_port"))
    assert (app.seen, app.faults.counts()) == (100, {"OpenFlow PacketIn": 100})
    (record,) = caplog.records
    assert "OpenFlow PacketIn: 'in_port'" in record.getMessage()
    assert App.on_packet.callers[ofp_event.EventOFPPacketIn].dispatchers == [MAIN_DISPATCHER]
