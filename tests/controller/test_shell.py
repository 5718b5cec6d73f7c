"""What stands around the core: settings, the feed against a real analytics, loads, the supervisor, northbound JSON."""

import json
import os
import signal
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import config
from controller.conductor import Conductor, Policy, Report
from controller.config import Analytics, Settings
from controller.feed import Feed
from controller.flow import FlowKey, FlowObservation
from controller.load import Load, Meter, PortCounters
from controller.rest import Health, Northbound
from controller.supervisor import FIRST_DELAY, Supervisor
from controller.topology import Fabric
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame
from tests.ryu_manager import free_ports
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5).with_ifindexes({"leaf1-eth1": 11, "leaf1-eth2": 12, "spine1-eth1": 21})
FABRIC = Fabric.from_spec(SPEC)
FLOW = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)


# Settings


def test_without_files_the_defaults_hold():
    assert config.load({}) == Settings()
    assert config.conductor(Settings()).discovery is not None


def test_file_names_are_relative_to_the_configuration(tmp_path):
    (tmp_path / "fabric.json").write_text(json.dumps(SPEC.to_json()))
    (tmp_path / "copies.yaml").write_text("udp_port: 1\ncollector: {address: 10.0.1.1}\ncopies: [{port: 2}]")
    (tmp_path / "howdah.yaml").write_text(
        "controller: {topology: fabric.json, replication: [copies.yaml], elephants: {dscp: 8, share: 0.2}}\n"
    )
    settings = config.load({"HOWDAH_CONFIG": str(tmp_path / "howdah.yaml")})
    conductor = config.conductor(settings)
    assert conductor.fabric.switches == FABRIC.switches
    assert (conductor.policy.dscp, conductor.policy.limits.share) == (8, 0.2)
    assert len(conductor.replications) == 1


@pytest.mark.parametrize(
    "text, named",
    [
        ("controller: {elephants: {dscp: 64}}", "dscp 64"),
        ("controller: {elephants: {share: 0}}", "share 0"),
        ("controller: {elephants: {idle_timeout: 0}}", "idle_timeout 0"),
        ("controller: {elephants: {cap: -1}}", "cap -1"),
        ("controller: {analytics: {prt: 1}}", "did you mean 'port'"),
        ("controler: {}", "controler"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(tmp_path, text, named):
    path = tmp_path / "howdah.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=named) as caught:
        config.load({"HOWDAH_CONFIG": str(path)})
    assert str(caught.value).startswith(f"{path}:1: ")
    assert "\n" not in str(caught.value)


# Analytics


@pytest.fixture
def analytics(eventually):
    """A real analytics process, started by the controller's own supervisor; its Feed and its sFlow address."""
    (port,) = free_ports(1)
    (sflow,) = free_ports(1, socket.SOCK_DGRAM)
    supervisor = Supervisor(Analytics(port=port, sflow_port=sflow))
    supervisor.tend(time.time())
    feed = Feed(supervisor.settings.base)
    try:
        eventually(feed.alive, 20)
        yield supervisor, feed, ("127.0.0.1", sflow)
    finally:
        supervisor.stop()


def sampled(sequence, frames, rate=10, ifindex=11, agent="10.254.0.1"):
    """A datagram of `frames` samples of FLOW as a switch sends it."""
    frame = tcp_frame(FLOW.source, FLOW.destination, FLOW.source_port, FLOW.destination_port)
    samples = [
        flow_sample(sampled_header(frame), sequence=sequence * 10 + n, source=(2, 1001), rate=rate, ports=(ifindex, 99))
        for n in range(frames)
    ]
    return datagram(*samples, agent=agent, sequence=sequence)


def test_the_feed_tells_an_elephant_by_event_and_by_look(analytics, eventually):
    _, feed, address = analytics
    feed.publish(SPEC.to_json())
    feed.define({5_000_000: 500_000.0}, 1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for sequence in range(1, 4):
            sender.sendto(sampled(sequence, 5), address)
    (event,) = feed.events()
    assert (event.flow, event.agent, event.ifindex) == (FLOW, "10.254.0.1", "11")
    assert 500_000 < event.rate < 3_000_000
    assert abs(event.at - time.time()) < 30
    looked = eventually(lambda: feed.look(123.0))
    assert [(s.flow, s.agent, s.ifindex, s.at) for s in looked] == [(FLOW, "10.254.0.1", "11", 123.0)]


def test_events_from_before_the_definition_are_not_told_again(analytics):
    _, feed, address = analytics
    feed.publish(SPEC.to_json())
    feed.define({5_000_000: 500_000.0}, 1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(sampled(1, 8), address)
        assert len(feed.events()) == 1
        feed.define({5_000_000: 500_000.0}, 1.0)
        sender.sendto(sampled(2, 8, ifindex=12), address)
        assert [event.ifindex for event in feed.events()] == ["12"]


def test_the_supervisor_starts_again_what_died_and_waits_longer_each_time(analytics, eventually):
    supervisor, feed, _ = analytics
    now = time.time()
    delays = []
    for _ in range(3):
        supervisor.process.send_signal(signal.SIGKILL)
        supervisor.process.wait()
        line = supervisor.tend(now)
        assert "ended with status -9" in line
        delays.append(float(line.split()[-2]))
        assert supervisor.tend(now) is None
        now += delays[-1] + 0.1
        assert "started as process" in supervisor.tend(now)
    assert delays == [FIRST_DELAY * factor for factor in (2, 4, 8)]
    eventually(feed.alive, 20)


def test_a_stopped_supervisor_leaves_no_process(analytics):
    supervisor, _, _ = analytics
    pid = supervisor.process.pid
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@given(st.text())
def test_a_flow_key_reads_only_from_five_fields(text):
    try:
        flow = FlowKey.parse(text)
    except ValueError:
        return
    assert FlowKey.parse(str(flow)) == flow


# Loads and the northbound interface


def test_rates_are_differences_and_a_restart_gives_none():
    meter = Meter()
    meter.ports(1, {1: PortCounters(rx_bytes=1000, tx_bytes=0)}, 10.0)
    meter.ports(1, {1: PortCounters(rx_bytes=2000, tx_bytes=500)}, 12.0)
    assert meter.load(1, 1) == Load(rx=4000.0, tx=2000.0)
    meter.ports(1, {1: PortCounters(rx_bytes=10, tx_bytes=10)}, 13.0)
    assert meter.load(1, 1) == Load(rx=4000.0, tx=2000.0)
    meter.forget(1)
    assert meter.load(1, 1) == Load()


@pytest.fixture
def northbound():
    conductor = Conductor(Policy(), FABRIC)
    ports = FABRIC.switches["leaf1"].ports
    conductor.switch_up(1, Report(None, ports, dict.fromkeys(ports, True)), 0.0)
    meter = Meter()
    for at, size in ((1.0, 0), (2.0, 560_000)):
        meter.ports(1, {3: PortCounters(tx_bytes=size)}, at)
    observations = [
        FlowObservation(FLOW, "10.254.0.1", "11", 4e6, 2.0),
        FlowObservation(FLOW, FABRIC.switches["spine1"].agent, "21", 4e6, 2.0),
    ]
    conductor.observed(observations, 2.0, complete=True)
    return Northbound(conductor, meter, Health("http://x", True, 1, {("spine1", 1): 3}))


def ask(northbound, resource, **query):
    answer = northbound.answer("GET", resource, query, b"", 3.0)
    assert answer.status == 200
    return json.loads(json.dumps(answer.body))


def test_a_busy_link_says_whose_it_is(northbound):
    (link,) = [link for link in ask(northbound, "links") if (link["from"], link["to"]) == ("leaf1", "spine1")]
    assert (link["load_bps"], link["utilisation"], link["state"]) == (4_480_000, 0.896, "elephant")
    assert (link["elephants"], link["flows_seen"]) == ([str(FLOW)], 3)


def test_ecmp_members_tell_port_load_flows_and_elephants(northbound):
    (group,) = ask(northbound, "ecmp")
    assert (group["switch"], group["destination"]) == ("leaf1", "leaf2")
    first = group["members"][0]
    assert (first["to"], first["load_bps"], first["flows_seen"], first["elephants"]) == ("spine1", 4_480_000, 3, 1)


def test_elephants_and_controls_agree(northbound):
    (elephant,) = ask(northbound, "elephants")
    assert (elephant["flow"], elephant["path"]) == (str(FLOW), ["leaf1", "spine1", "leaf2"])
    (control,) = ask(northbound, "controls")
    assert control["flow"] == elephant["flow"]
    assert "nw_src=10.0.1.1" in control["rules"]["leaf1"]


@pytest.mark.parametrize("resource", ["status", "fabric", "topology", "policy"])
def test_every_resource_is_json(northbound, resource):
    assert ask(northbound, resource)


@pytest.mark.parametrize(
    "method, path, status", [("GET", "nothing", 404), ("PUT", "links", 405), ("DELETE", "policy", 400)]
)
def test_what_is_not_possible_is_refused_by_name(northbound, method, path, status):
    answer = northbound.answer(method, path, {}, b"", 3.0)
    assert answer.status == status
    assert path in answer.body["error"]
