"""The Ryu application in the stock ryu-manager, with an analytics whose answers are wrong: what becomes of faults."""

import logging
import signal
from types import SimpleNamespace

import pytest
from ryu.controller import ofp_event
from ryu.controller.handler import MAIN_DISPATCHER

from controller.app import on
from documents.faults import Faults
from tests.controller.answering import Answering, event
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
    assert faults(controller).keys() == {"event poll", "flow poll"}
    assert len(lines(controller, "Traceback")) == 2
    (line,) = lines(controller, "event poll: ")
    assert f"GET {answering.base}/events/json" in line
    assert "missing required field `agent`" in line
    (line,) = lines(controller, "flow poll: ")
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
    assert not controller.analytics_alive()
    answering.answers.clear()
    eventually(controller.analytics_alive)
    assert set(answering.put) == {
        "/topology/json", "/flow/howdah_flow/json", "/threshold/howdah_elephant_5000000/json",
    }  # fmt: skip
    assert len(lines(controller, "Traceback")) == 1
    assert any("status 500 out of order" in line for line in lines(controller, "analytics connection: "))


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
