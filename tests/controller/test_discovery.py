"""Discovery: what a controller without a topology file finds out by itself, and what it does not believe."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import frames
from controller.commands import Complain, Emit
from controller.conductor import Conductor, Report
from controller.discovery import LINK_AGE, PROBE_PERIOD, SETTLE, Discovery
from controller.forwarding.l2 import Forwarding
from controller.hosts import ASK_PERIOD, ASKED, DOUBT_AGE, HOST_AGE
from controller.pipeline import FLOODING, RuleKind, kind_of
from controller.topology import Fabric, Port
from documents.topology import Spec
from tests.controller.arp import request

KEY = b"of this process"
A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"


def up(conductor, dpid, name, numbers, now):
    ports = {n: Port("", n, f"{name}-eth{n}", 10_000_000_000) for n in numbers}
    return conductor.switch_up(dpid, Report(name, ports, dict.fromkeys(numbers, True)), now)


def test_two_switches_find_their_link_their_hosts_and_their_sflow_names():
    conductor = Conductor(discovery=Discovery(KEY, port_speed=10_000_000))
    up(conductor, 1, "s1", (1, 2), 0.0)
    up(conductor, 2, "s2", (1, 2), 0.5)
    assert not conductor.fabric.flood
    probes = [command for command in conductor.tick(0.5) if isinstance(command, Emit)]
    assert {(probe.dpid, probe.port) for probe in probes} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    by_origin = {(probe.dpid, probe.port): probe.frame for probe in probes}
    conductor.packet_in(2, 2, by_origin[1, 2], 0.6)
    conductor.tick(2.5)
    assert conductor.fabric.links == ()  # one direction may be all there is
    conductor.packet_in(1, 2, by_origin[2, 2], 2.6)
    conductor.tick(4.5)
    assert {(link.source.name, link.target.name) for link in conductor.fabric.links} == {
        ("s1-eth2", "s2-eth2"), ("s2-eth2", "s1-eth2"),
    }  # fmt: skip
    conductor.tick(1.0 + SETTLE)
    assert conductor.fabric.flood
    learnt = conductor.packet_in(1, 1, request(A, "10.9.0.1", "10.9.0.2"), 2.0 + SETTLE)
    assert not any(isinstance(command, Emit) for command in learnt)
    conductor.ports_reported([("10.1.1.1", "7", 1, 1), ("10.1.1.1", "8", 9, 1)], 3.0 + SETTLE)
    known, hosts = conductor.view().fabric, conductor.view().hosts
    assert known.port_at("10.1.1.1", "7").name == "s1-eth1"
    assert known.port_at("10.1.1.1", "7").speed == 10_000_000
    assert [host.switch for host in hosts] == ["s1"]


def settled_pair(now=0.0):
    """A controller that has found the link between s1-eth2 and s2-eth2 and settled."""
    conductor = Conductor(discovery=Discovery(KEY))
    reconnect(conductor, {1: (), 2: ()}, now)
    link_found(conductor, now + SETTLE)
    conductor.tick(now + SETTLE)
    return conductor


def reconnect(conductor, held, now):
    """Switches s1 and s2 connect, with the rules they hold."""
    for dpid, rules in held.items():
        ports = {n: Port("", n, f"s{dpid}-eth{n}") for n in (1, 2)}
        conductor.switch_up(dpid, Report(f"s{dpid}", ports, {1: True, 2: True}, tuple(rules)), now)


def link_found(conductor, now):
    for source, target in ((1, 2), (2, 1)):
        frame = frames.write_probe(source, 2, conductor.discovery.round, KEY)
        conductor.packet_in(target, 2, frame, now)


def held(conductor):
    return {dpid: tuple(installed.rules.values()) for dpid, installed in conductor.view().installed.items()}


def kinds(rules):
    return {kind_of(rule.cookie) for rule in rules}


def test_after_a_restart_discovery_keeps_the_rules_of_hosts_not_yet_learnt_again():
    first = settled_pair()
    first.packet_in(1, 1, request(A, "10.9.0.1", "10.9.0.2"), 20.0)
    again = Conductor(discovery=Discovery(KEY))
    reconnect(again, held(first), 30.0)
    link_found(again, 30.0 + SETTLE)
    again.tick(30.0 + SETTLE)
    assert any(("eth_dst", A) in rule.match for rule in held(again)[1])


def test_after_a_restart_arp_goes_on_by_the_old_tree_until_discovery_has_settled():
    before = held(settled_pair())
    assert kinds(before[1]) >= {RuleKind.TREE, RuleKind.ARP_TRANSIT}
    again = Conductor(discovery=Discovery(KEY))
    reconnect(again, before, 30.0)
    assert held(again) == before
    link_found(again, 29.0 + SETTLE)
    again.tick(30.0 + SETTLE)
    assert held(again) == before


def test_a_tree_without_the_switch_that_connects_last_is_not_made():
    """Open vSwitch waits up to 8 s between two attempts, and forwards by its old rules meanwhile."""
    before = held(settled_pair())
    again = Conductor(discovery=Discovery(KEY))
    reconnect(again, {1: before[1]}, 30.0)
    again.tick(38.0)
    reconnect(again, {2: before[2]}, 38.5)
    again.tick(30.0 + SETTLE)
    assert held(again) == before


def test_rules_of_a_link_that_is_not_found_again_go_when_discovery_has_settled():
    before = held(settled_pair())
    again = Conductor(discovery=Discovery(KEY))
    reconnect(again, before, 30.0)
    again.tick(30.0 + SETTLE)
    assert RuleKind.ARP_TRANSIT not in kinds(held(again)[1])


def test_no_host_is_learnt_while_a_port_may_still_turn_out_to_end_a_link():
    conductor = Conductor(discovery=Discovery(KEY))
    reconnect(conductor, {1: (), 2: ()}, 0.0)
    frame = request(A, "10.9.0.1", "10.9.0.2")
    conductor.packet_in(2, 2, frame, 1.0)
    assert conductor.view().hosts == ()
    link_found(conductor, SETTLE)
    conductor.tick(SETTLE)
    conductor.packet_in(2, 2, frame, 1.0 + SETTLE)
    assert conductor.view().hosts == ()
    conductor.packet_in(1, 1, frame, 1.0 + SETTLE)
    assert [(host.switch, host.port) for host in conductor.view().hosts] == [("s1", 1)]


class Network:
    """Switches of four ports, cables between them that carry probes, hosts that answer; time passes by `run`.

    `cables` are pairs of (dpid, port); `alive` hosts as (MAC, address, (dpid, port)); a switch in `silent` has lost
    its controller.
    """

    def __init__(self, *cables, switches=2, names=None, conductor=None):
        self.cables = list(cables)
        self.alive = set()
        self.silent = set()
        self.complaints = []
        self.now = 0.0
        self.conductor = conductor or Conductor(discovery=Discovery(KEY))
        for dpid in range(1, switches + 1):
            self.connect(dpid, (names or {}).get(dpid, f"s{dpid}"))
        self.run(SETTLE + 2 * PROBE_PERIOD)

    def connect(self, dpid, name=None, numbers=(1, 2, 3, 4), held=()):
        self.silent.discard(dpid)
        ports = {n: Port("", n, f"eth{n}") for n in numbers}
        report = Report(name or f"s{dpid}", ports, dict.fromkeys(numbers, True), held)
        self.take(self.conductor.switch_up(dpid, report, self.now))

    def lose(self, dpid):
        """The control connection alone: the switch goes on forwarding."""
        self.silent.add(dpid)
        self.conductor.switch_down(dpid)

    def run(self, seconds):
        for step in range(round(seconds / ASK_PERIOD)):
            self.now += ASK_PERIOD
            self.take(self.conductor.ask(self.now))
            if step % round(PROBE_PERIOD / ASK_PERIOD) == 0:
                self.take(self.conductor.tick(self.now))

    def take(self, commands):
        for command in commands:
            if isinstance(command, Complain):
                self.complaints.append(command.kind)
            if not isinstance(command, Emit) or command.dpid in self.silent:
                continue
            end = command.dpid, command.port
            for cable in self.cables:
                for source, target in (cable, cable[::-1]):
                    if source == end:
                        self.arrive(target, command.frame)
            for mac, address, place in self.alive:
                if place == end and command.frame == frames.write_question(mac, address):
                    self.arrive(end, request(mac, address, "0.0.0.0"))

    def arrive(self, end, frame):
        if end[0] not in self.silent:
            self.take(self.conductor.packet_in(*end, frame, self.now))

    def host(self, mac, address, place):
        self.alive.add((mac, address, place))
        self.arrive(place, request(mac, address, "10.9.9.9"))

    def links(self):
        fabric = self.conductor.fabric
        return {
            frozenset((fabric.switches[port.switch].dpid, port.number) for port in (link.source, link.target))
            for link in fabric.links
        }

    def floods(self, dpid):
        """The ports by which broadcast leaves a switch, by the rules that it holds."""
        rules = self.conductor.view().installed[dpid].rules.values()
        (tree,) = [rule for rule in rules if kind_of(rule.cookie) == RuleKind.TREE]
        return [action.port for action in tree.actions]

    def hosts(self):
        return {host.mac for host in self.conductor.view().hosts}


CABLE = ((1, 2), (2, 2))
FOUND = {frozenset(CABLE)}


def test_a_link_that_is_heard_no_more_is_gone_and_its_ports_are_for_hosts():
    network = Network(CABLE)
    assert network.links() == FOUND
    network.cables.clear()
    network.run(LINK_AGE * PROBE_PERIOD)
    assert network.links() == FOUND
    network.run(2 * PROBE_PERIOD)
    assert network.links() == set()
    assert network.floods(1) == [1, 2, 3, 4]


def test_a_link_whose_cable_is_out_for_long_is_one_still_when_it_is_back():
    """Its ports never turn into edge ports, whose broadcast would go round as soon as the cable is back."""
    network = Network(CABLE)

    def plug(*cables, up):
        network.cables[:] = cables
        for dpid, number in CABLE:
            network.take(network.conductor.port_changed(dpid, Port("", number, f"eth{number}"), up, network.now))

    plug(up=False)
    network.run((LINK_AGE + 3) * PROBE_PERIOD)
    assert 2 not in network.floods(1) + network.floods(2)
    plug(CABLE, up=True)
    assert network.links() == FOUND
    network.run((LINK_AGE + 3) * PROBE_PERIOD)
    assert network.links() == FOUND
    plug(up=False)
    plug(up=True)
    network.run((LINK_AGE + 3) * PROBE_PERIOD)
    assert network.links() == set()


def test_a_link_of_which_one_direction_is_left_carries_nothing_and_gets_no_broadcast():
    network = Network(CABLE)
    network.cables.clear()
    for _ in range(LINK_AGE + 2):
        probes = [c for c in network.conductor.tick(network.now) if isinstance(c, Emit)]
        (frame,) = [c.frame for c in probes if (c.dpid, c.port) == (1, 2)]
        network.arrive((2, 2), frame)
    assert network.links() == set()
    assert network.floods(1) == network.floods(2) == [1, 3, 4]


def test_links_of_a_switch_that_lost_its_controller_only_stay_and_no_loop_is_made():
    ring = [((1, 2), (2, 1)), ((2, 2), (3, 1)), ((3, 2), (1, 1))]
    network = Network(*ring, switches=3)
    before = {dpid: network.floods(dpid) for dpid in (1, 3)}
    assert sum(len({1, 2} & set(ports)) for ports in before.values()) + len({1, 2} & set(network.floods(2))) == 4
    network.lose(2)
    network.run(10 * LINK_AGE * PROBE_PERIOD)
    assert network.links() == {frozenset(cable) for cable in ring}
    assert {dpid: network.floods(dpid) for dpid in (1, 3)} == before
    assert network.conductor.view().problems == ("s2 is not connected: its links are taken to be as they were",)
    network.connect(2)
    network.run(2 * LINK_AGE * PROBE_PERIOD)
    assert network.links() == {frozenset(cable) for cable in ring}
    assert network.conductor.view().problems == ()


def test_a_link_taken_away_while_a_switch_was_away_goes_when_it_is_back():
    network = Network(CABLE)
    network.lose(2)
    network.cables.clear()
    network.run(60)
    assert network.links() == FOUND
    network.connect(2)
    network.run((LINK_AGE + 2) * PROBE_PERIOD)
    assert network.links() == set()


def test_no_link_ages_while_the_controller_itself_stands_still():
    network = Network(CABLE)
    network.now += 3600
    network.take(network.conductor.tick(network.now))
    assert network.links() == FOUND


def probe(dpid, port, round_number, key=KEY):
    return frames.write_probe(dpid, port, round_number, key)


def test_a_probe_of_another_key_or_of_long_ago_makes_no_link_and_is_a_fault():
    network = Network()
    for age, key in ((0, b"guessed"), (2, KEY)):
        for source, target in (CABLE, CABLE[::-1]):
            network.arrive(target, probe(*source, network.conductor.discovery.round - age, key))
    assert network.links() == set()
    assert network.conductor.fabric.doubtful == frozenset()
    assert network.complaints == ["discovery probe"] * 4


def test_probes_relayed_between_ports_where_hosts_are_make_no_link():
    network = Network()
    network.host(A, "10.9.0.1", (1, 2))
    network.host(B, "10.9.0.2", (2, 2))
    network.cables.append(CABLE)  # which the two hosts pose as
    network.run(3 * HOST_AGE)
    assert network.links() == set()
    assert network.hosts() == {A, B}
    assert network.floods(1) == network.floods(2) == [1, 3, 4]  # what comes back would be a loop
    assert network.conductor.view().problems == tuple(
        f"{name} port 2 may lead to another port of the fabric: no broadcast goes there" for name in ("s1", "s2")
    )
    network.cables.clear()
    network.run((LINK_AGE + 2) * PROBE_PERIOD)
    assert network.floods(1) == [1, 2, 3, 4]


def test_a_cable_between_two_ports_where_hosts_were_is_found_in_the_end():
    network = Network()
    network.host(A, "10.9.0.1", (1, 2))
    network.host(B, "10.9.0.2", (2, 2))
    network.alive.clear()
    network.cables.append(CABLE)
    network.run(PROBE_PERIOD)
    assert network.floods(1) == network.floods(2) == [1, 3, 4]
    network.run(DOUBT_AGE + PROBE_PERIOD + (ASKED + 1) * ASK_PERIOD + PROBE_PERIOD)
    assert network.links() == FOUND
    assert network.hosts() == set()


def test_a_port_that_is_new_or_comes_up_gets_broadcast_after_a_round_without_a_probe():
    network = Network()
    conductor = network.conductor
    network.take(conductor.port_changed(1, Port("", 9, "tap9"), True, network.now))
    network.take(conductor.port_changed(1, Port("", 3, "eth3"), False, network.now))
    network.run(3 * PROBE_PERIOD)
    assert network.floods(1) == [1, 2, 3, 4, 9]
    network.take(conductor.port_changed(1, Port("", 3, "eth3"), True, network.now))
    network.take(conductor.port_changed(1, Port("", 8, "eth3"), True, network.now))  # a name that is taken
    network.arrive((1, 3), request(A, "10.9.0.1", "10.9.0.2"))
    assert network.floods(1) == [1, 2, 4, 9]
    assert network.hosts() == set()
    network.run(3 * PROBE_PERIOD)
    assert network.floods(1) == [1, 2, 3, 4, 8, 9]
    assert [port.name for port in conductor.fabric.switches["s1"].ports.values()][-2:] == ["tap9", "eth3-8"]


@pytest.mark.parametrize("cable", [((1, 2), (1, 2)), ((1, 2), (1, 3))], ids=["itself", "its switch"])
def test_a_port_that_hears_its_own_switch_gets_no_broadcast_and_nothing_fails(cable):
    network = Network(cable)
    network.host(A, "10.9.0.1", (1, 1))
    network.run(10)
    assert network.links() == set()
    assert set(network.floods(1)) == {1, 2, 3, 4} - {number for _, number in cable}
    assert network.hosts() == {A}
    assert network.complaints == []


def test_two_bridges_of_one_name_with_ports_of_one_name_are_told_apart():
    cables = [((1, 2), (2, 2)), ((1, 3), (2, 3))]
    network = Network(*cables, names={1: "br0", 2: "br0"})
    assert network.links() == {frozenset(cable) for cable in cables}
    assert [switch.name for switch in network.conductor.fabric.switches.values()] == ["br0", "br0-2"]
    document = network.conductor.fabric.to_spec(network.conductor.view().hosts).to_json()
    assert {name: node["dpid"] for name, node in document["nodes"].items()} == {
        "br0": "0000000000000001", "br0-2": "0000000000000002",
    }  # fmt: skip
    assert len(document["links"]) == 2
    network.lose(1)
    network.connect(1, "renamed")
    assert [switch.name for switch in network.conductor.fabric.switches.values()] == ["br0", "br0-2"]


def test_a_port_that_a_switch_no_longer_has_takes_its_link_and_its_hosts_along():
    network = Network(CABLE)
    network.host(A, "10.9.0.1", (1, 1))
    network.lose(1)
    network.connect(1, numbers=(3, 4))
    assert network.links() == set()
    assert network.hosts() == set()
    Fabric.from_spec(network.conductor.fabric.to_spec(network.conductor.view().hosts))


def test_names_of_ports_are_each_one_ports_and_stay_while_someone_says_so():
    network = Network()
    conductor = network.conductor
    conductor.ports_reported([("10.1.1.1", "7", 1, 1), ("10.1.1.1", "8", 2, 1)], 20.0)
    forged = [("10.6.6.6", "7", 1, 1), ("10.1.1.1", "9", 1, 1), ("10.1.1.1", "7", 1, 1), ("10.1.1.1", "8", 2, 1)]
    conductor.ports_reported(forged, 21.0)
    assert conductor.fabric.port_at("10.1.1.1", "7").switch == "s1"
    assert conductor.fabric.port_at("10.1.1.1", "9") is None
    conductor.ports_reported([("10.1.1.1", "8", 1, 1), ("10.1.1.1", "x", 2, 2)], 22.0)  # the number went over
    assert conductor.fabric.port_at("10.1.1.1", "8").switch == "s1"
    Fabric.from_spec(conductor.fabric.to_spec(()))


def test_a_switch_that_connects_while_analytics_answers_is_not_lost():
    """The rows of a slow answer may be read one by one, with a switch connecting and a host learnt in between."""
    network = Network()

    def slow_rows():
        network.connect(9, "late")
        network.arrive((1, 1), request(A, "10.9.0.1", "10.9.0.2"))
        yield ("10.1.1.1", "7", 1, 1)

    network.conductor.discovery.newest = 0.0
    network.conductor.ports_reported(slow_rows(), network.now)
    assert network.conductor.fabric.port_at("10.1.1.1", "7").switch == "s1"
    assert {switch.dpid for switch in network.conductor.fabric.switches.values()} == {1, 2, 9}
    network.run(SETTLE)
    assert set(network.conductor.view().installed) == {1, 2, 9}


def test_hosts_that_did_not_speak_again_lose_the_rules_of_an_earlier_controller_after_a_while():
    first = Network(CABLE)
    first.host(A, "10.9.0.1", (1, 1))
    first.host(B, "10.9.0.2", (2, 1))
    held = {dpid: tuple(one.rules.values()) for dpid, one in first.conductor.view().installed.items()}
    again = Network(CABLE, switches=0)
    for dpid in (1, 2):
        again.connect(dpid, held=held[dpid])
    again.run(SETTLE + PROBE_PERIOD)
    again.host(A, "10.9.0.1", (1, 1))

    def reached():
        rules = again.conductor.view().installed[2].rules.values()
        kinds = (RuleKind.HOST, RuleKind.BLOCK)
        return {dict(rule.match)["eth_dst"] for rule in rules if kind_of(rule.cookie) in kinds}

    again.run(HOST_AGE / 2)
    assert reached() == {A, B}
    again.run(HOST_AGE)
    assert reached() == {A}


def test_after_a_restart_blocks_of_hosts_that_spoke_leave_out_those_that_did_not_yet():
    """Two hosts in a row with one of another switch between them: as long as that is silent, it stays where it was."""
    macs = {f"02:00:00:00:00:{n:02x}": (2, 1) if n == 5 else (1, 1) for n in range(4, 8)}
    silent = "02:00:00:00:00:05"
    first = Network(CABLE)
    for n, (mac, place) in enumerate(macs.items()):
        first.host(mac, f"10.9.0.{n}", place)
    held = {dpid: tuple(one.rules.values()) for dpid, one in first.conductor.view().installed.items()}
    again = Network(CABLE, switches=0)
    for dpid in (1, 2):
        again.connect(dpid, held=held[dpid])
    again.run(SETTLE + PROBE_PERIOD)

    def blocks():
        rules = again.conductor.view().installed[1].rules.values()
        return {dict(rule.match)["eth_dst"]: rule.goto for rule in rules if kind_of(rule.cookie) == RuleKind.BLOCK}

    assert blocks() == {silent: None}
    for n, (mac, place) in enumerate(macs.items()):
        if mac != silent:
            again.host(mac, f"10.9.0.{n}", place)
    assert blocks() == {silent: None}
    again.run(1.5 * HOST_AGE)
    assert blocks() == {silent: FLOODING}


NAMES = st.sampled_from(["", "br0", "br0-2", "eth1", "0000000000000002"])
PLACES = st.tuples(st.integers(1, 3), st.integers(1, 4))
EVENTS = st.one_of(
    st.tuples(st.just("connect"), st.integers(1, 3), NAMES, st.lists(st.tuples(st.integers(1, 4), NAMES), max_size=4)),
    st.tuples(st.just("lose"), st.integers(1, 3)),
    st.tuples(st.just("cable"), PLACES, PLACES),
    st.tuples(st.just("pull")),
    st.tuples(st.just("host"), st.sampled_from([A, B]), st.sampled_from(["10.9.0.1", "10.9.0.2"]), PLACES),
    st.tuples(st.just("quiet")),
    st.tuples(st.just("run"), st.sampled_from([2.0, 12.0, 40.0])),
    st.tuples(st.just("port"), PLACES, st.booleans()),
    st.tuples(
        st.just("rows"),
        st.lists(
            st.tuples(
                st.sampled_from(["10.1.1.1", "10.1.1.2"]), st.sampled_from(["1", "2", "x"]), st.integers(1, 3),
                st.integers(1, 4),
            ),
            max_size=6,
        ),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_the_fabric_can_be_described_and_the_switches_hold_what_it_means(events):
    network = Network()
    for kind, *more in events:
        match kind:
            case "connect":
                dpid, name, ports = more
                network.silent.discard(dpid)
                described = {number: Port("", number, port) for number, port in ports}
                report = Report(name, described, dict.fromkeys(described, True))
                network.take(network.conductor.switch_up(dpid, report, network.now))
            case "lose":
                network.lose(*more)
            case "cable":
                network.cables.append(tuple(more))
            case "pull":
                network.cables.clear()
            case "host":
                network.host(*more)
            case "quiet":
                network.alive.clear()
            case "run":
                network.run(*more)
            case "port":
                ((dpid, number), is_up) = more
                network.take(network.conductor.port_changed(dpid, Port("", number, "eth1"), is_up, network.now))
            case "rows":
                network.take(network.conductor.ports_reported(more[0], network.now))
        fabric, hosts = network.conductor.fabric, network.conductor.view().hosts
        again = Fabric.from_spec(Spec.from_json(fabric.to_spec(hosts).to_json()))
        assert again.switches == fabric.switches
        assert set(again.links) == set(fabric.links)
        assert {(host.mac, host.place, host.addresses) for host in again.hosts} == {
            (host.mac, host.place, host.addresses) for host in hosts
        }
    assert not any(kind.startswith("feature") for kind in network.complaints)
    network.run(SETTLE + 2 * PROBE_PERIOD)
    conductor = network.conductor
    wanted = Forwarding().wanted(conductor.fabric, conductor.hosts, network.now)
    for dpid, held in conductor.view().installed.items():
        assert held.rules == wanted[conductor.fabric.by_dpid[dpid].name].rules
