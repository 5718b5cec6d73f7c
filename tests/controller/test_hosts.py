"""Who is where: claims, questions, bounds and ageing, values in, values out."""

import gc
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.frames import Claim
from controller.hosts import (
    ADDRESSES,
    ASK_PERIOD,
    ASKED,
    CLAIMS,
    DOUBT_AGE,
    HOST_AGE,
    PORT_HOSTS,
    PROBLEM_AGE,
    QUESTIONS,
    TOTAL_HOSTS,
    WAITING,
    Hosts,
)
from controller.topology import Fabric, Host
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2))
HERE, THERE, ELSEWHERE = ("leaf1", 1), ("leaf2", 2), ("leaf2", 1)
VICTIM, OTHER = "0a:00:00:00:00:07", "0a:00:00:00:00:08"
IP, IP2, IP6 = "10.9.0.7", "10.9.0.8", "2001:db8::7"


def mac(n):
    return (0x02 << 40 | n).to_bytes(6, "big").hex(":")


def ip(n):
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


class Network:
    """Hosts, and which (MAC, address, place) answer when they are asked."""

    def __init__(self, fixed=()):
        self.hosts = Hosts(fixed)
        self.down = frozenset()
        self.answering = set()
        self.mute = set()
        self.asked = []
        self.refused = []
        self.crowded = []
        self.moved = []

    def say(self, mac, address, place, learn=True):
        self.take(self.hosts.heard(Claim(mac, address), place, self.down, learn=learn))

    def live(self, mac, address, place):
        """A host that answers from now on, and speaks first."""
        self.answering.add((mac, address, place))
        self.say(mac, address, place)

    def take(self, news):
        self.refused += news.refused
        self.crowded += news.crowded
        self.moved += news.moved
        for place, mac, address in news.questions:
            self.asked.append((place, mac, address))
            if (mac, address, place) in self.answering:
                self.say(mac, address, place)

    def wait(self, seconds):
        for _ in range(round(seconds / ASK_PERIOD)):
            self.take(self.hosts.due(self.mute))

    def where(self, mac):
        host = self.hosts.by_mac.get(mac)
        return host and host.place

    def who(self, address):
        host = self.hosts.by_address.get(address)
        return host and host.mac


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def file():
    """The hosts of a topology file: h1 has 10.0.1.1 and 00:04:00:00:01:01 at leaf1 port 1."""
    return Network(FABRIC.hosts)


DECIDED = (ASKED + 1) * ASK_PERIOD


def test_any_number_of_hosts_with_several_addresses_live_behind_one_port(network):
    for n in range(40):
        network.live(mac(n), ip(n), HERE)
    network.live(mac(0), IP6, HERE)
    assert {host.place for host in network.hosts} == {HERE}
    assert len(network.hosts) == 40
    assert network.hosts.by_mac[mac(0)].addresses == (ip(0), IP6)
    assert network.who(IP6) == network.who(ip(0)) == mac(0)
    assert network.asked == network.refused == []


def test_what_is_known_changes_nothing(network):
    network.say(VICTIM, IP, HERE)
    network.moved.clear()
    network.say(VICTIM, IP, HERE)
    assert network.moved == network.asked == []


def test_a_claim_of_a_place_is_refused_if_the_holder_answers(network):
    network.live(VICTIM, IP, HERE)
    network.say(VICTIM, IP, THERE)
    assert network.asked == [(HERE, VICTIM, IP)]
    network.wait(DECIDED)
    assert network.where(VICTIM) == HERE
    (line,) = network.refused
    assert line == f"leaf2 port 2: {VICTIM} as {IP} is refused: {VICTIM} answers at leaf1 port 1"
    assert network.hosts.problems() == [f"{line} (1 times)"]


def test_a_host_that_does_not_answer_where_it_was_has_moved(network):
    network.say(VICTIM, IP, HERE)
    network.say(VICTIM, IP, THERE)
    assert network.where(VICTIM) == HERE
    network.wait(DECIDED)
    assert network.where(VICTIM) == THERE
    assert network.who(IP) == VICTIM
    assert network.asked == [(HERE, VICTIM, IP)] * ASKED
    assert network.refused == []


def test_a_host_at_a_mute_port_cannot_answer_and_loses_nothing(network):
    """Its answers do not come through while its port sends too much (controller/packetins.py)."""
    network.say(VICTIM, IP, HERE)
    network.mute.add(HERE)
    network.say(VICTIM, IP, THERE)
    network.wait(2 * HOST_AGE)
    assert (network.where(VICTIM), len(network.asked)) == (HERE, 1)
    network.mute.clear()
    network.answering.add((VICTIM, IP, HERE))
    network.wait(DECIDED)
    assert network.where(VICTIM) == HERE
    assert len(network.refused) == 1


def test_a_host_whose_port_is_down_has_moved_at_once(network):
    network.live(VICTIM, IP, HERE)
    network.down = frozenset({HERE})
    network.say(VICTIM, IP, THERE)
    assert network.where(VICTIM) == THERE
    assert network.asked == []


def test_a_host_heard_where_it_is_needs_no_other_answer(network):
    network.say(VICTIM, IP, HERE)
    network.say(VICTIM, IP, THERE)
    network.say(VICTIM, IP2, HERE)
    network.wait(DECIDED)
    assert network.where(VICTIM) == HERE
    assert len(network.refused) == 1


@pytest.mark.parametrize("address", [IP, IP6])
def test_a_spoofed_address_stays_with_whoever_answers_for_it(network, address):
    network.live(VICTIM, address, HERE)
    network.say(OTHER, address, THERE)
    network.wait(DECIDED)
    assert network.who(address) == VICTIM
    assert network.where(OTHER) == THERE  # that it is there is true
    assert network.hosts.by_mac[OTHER].addresses == ()
    assert len(network.refused) == 1


def test_an_address_goes_over_when_its_holder_has_it_no_more(network):
    """The holder answers for another address of its own; that is no answer for this one."""
    network.live(VICTIM, IP2, HERE)
    network.say(VICTIM, IP, HERE)
    network.say(OTHER, IP, THERE)
    network.say(VICTIM, IP2, HERE)
    network.wait(DECIDED)
    assert network.who(IP) == OTHER
    assert network.hosts.by_mac[VICTIM].addresses == (IP2,)


def test_a_file_fixes_places_and_addresses(file):
    h1 = file.hosts.by_mac["00:04:00:00:01:01"]
    file.say(h1.mac, "10.0.1.1", THERE)
    file.say(OTHER, "10.0.1.1", THERE)
    file.down = frozenset({HERE})
    file.say(h1.mac, "10.0.1.1", THERE)
    file.wait(HOST_AGE + DECIDED)
    assert file.hosts.by_mac[h1.mac] == h1
    assert file.who("10.0.1.1") == h1.mac
    assert [line.split(": ")[0] for line in file.refused] == ["leaf2 port 2"] * 3
    assert "by the topology" in file.refused[0]
    assert file.where(OTHER) is None  # silent for HOST_AGE


def test_a_fixed_host_may_have_further_addresses_which_are_learnt(file):
    file.say("00:04:00:00:01:01", IP6, HERE)
    assert file.hosts.by_mac["00:04:00:00:01:01"].addresses == ("10.0.1.1", IP6)
    for n in range(2 * ADDRESSES):
        file.say("00:04:00:00:01:01", ip(n), HERE)
    assert len(file.hosts.by_mac["00:04:00:00:01:01"].addresses) == ADDRESSES
    assert file.who("10.0.1.1") == "00:04:00:00:01:01"


def test_open_claims_are_bounded_and_one_question_is_asked_for_many_repeats(network):
    for n in range(CLAIMS + 5):
        network.say(mac(n), ip(n), HERE)
    for _ in range(3):
        for n in range(CLAIMS + 5):
            network.say(mac(n), ip(n), THERE)
    assert len(network.asked) == CLAIMS
    assert len(network.refused) == 15
    network.wait(DECIDED)
    assert sum(network.where(mac(n)) == THERE for n in range(CLAIMS + 5)) == CLAIMS
    network.say(mac(CLAIMS), ip(CLAIMS), THERE)
    network.wait(DECIDED)
    assert network.where(mac(CLAIMS)) == THERE  # all were closed


def test_without_leave_to_learn_what_is_known_is_heard_and_nothing_else(network):
    network.say(VICTIM, IP, HERE, learn=False)
    assert len(network.hosts) == 0
    network.say(VICTIM, IP, HERE)
    network.say(VICTIM, IP2, HERE, learn=False)
    network.say(VICTIM, IP, THERE, learn=False)
    network.say(OTHER, IP, THERE, learn=False)
    assert network.asked == network.refused == []
    assert [(host.place, host.addresses) for host in network.hosts] == [(HERE, (IP,))]


def test_the_silent_are_asked_and_kept_if_they_answer(network):
    network.live(VICTIM, IP, HERE)
    network.say(OTHER, IP2, HERE)
    network.wait(HOST_AGE - 1)
    assert network.asked == []
    network.wait(DECIDED + 1)
    assert network.where(VICTIM) == HERE
    assert network.where(OTHER) is None
    assert network.moved[-1] == (Host(OTHER, OTHER, *HERE, (IP2,)), None)
    assert network.refused == []


def test_who_speaks_is_not_asked(network):
    network.say(VICTIM, IP, HERE)
    for _ in range(10):
        network.wait(HOST_AGE / 2)
        network.say(VICTIM, IP, HERE)
    assert network.asked == []


def test_hosts_at_a_port_in_doubt_have_to_answer(network):
    network.live(VICTIM, IP, HERE)
    network.say(OTHER, IP2, HERE)
    network.take(network.hosts.doubt([HERE]))
    assert network.asked == []
    network.wait(DOUBT_AGE)
    network.take(network.hosts.doubt([HERE]))
    network.wait(DECIDED)
    assert (network.where(VICTIM), network.where(OTHER)) == (HERE, None)


def test_a_flood_of_new_macs_fills_half_a_port_and_stops_nobody(network):
    network.live(VICTIM, IP, HERE)
    for n in range(35_600):
        network.say(mac(n), ip(n), THERE)
    assert len(network.hosts) == 1 + PORT_HOSTS // 2
    assert len(network.crowded) == 35_600 - PORT_HOSTS // 2 - WAITING
    assert "leaf2 port 2" in network.hosts.problems()[0]
    network.live(OTHER, IP2, THERE)  # a real host behind the same port: it answers
    assert network.where(OTHER) == THERE
    network.live(mac(99_999), ip(99_999), ELSEWHERE)
    assert network.where(mac(99_999)) == ELSEWHERE
    network.wait(HOST_AGE + QUESTIONS * ASK_PERIOD)
    assert {host.mac for host in network.hosts} == {VICTIM, OTHER, mac(99_999)}
    network.wait(PROBLEM_AGE)
    assert network.hosts.problems() == []


def test_a_port_takes_no_more_than_its_bound_even_if_all_answer(network):
    for n in range(PORT_HOSTS + 100):
        network.live(mac(n), ip(n), HERE)
    assert len(network.hosts) == PORT_HOSTS
    assert len(network.crowded) == 100
    assert network.where(mac(0)) == HERE


def test_when_the_whole_table_is_full_the_fullest_port_gives_way(network):
    for n in range(TOTAL_HOSTS):
        network.live(mac(n), ip(n), ("leaf1", n // PORT_HOSTS))
    assert len(network.hosts) == TOTAL_HOSTS
    network.live(VICTIM, "192.0.2.1", THERE)
    assert network.where(VICTIM) == THERE
    assert len(network.hosts) == TOTAL_HOSTS
    assert network.where(mac(0)) is None


def test_hosts_at_ports_that_are_no_more_are_forgotten(network):
    network.say(VICTIM, IP, HERE)
    network.say(OTHER, IP2, ("leaf1", 77))
    network.take(network.hosts.keep_within(FABRIC))
    assert [host.mac for host in network.hosts] == [VICTIM]


def seconds(network, first, count):
    began = time.perf_counter()
    for n in range(first, first + count):
        network.say(mac(n), ip(n), ("leaf1", n // 500))
    return time.perf_counter() - began


def test_the_eight_thousandth_host_costs_what_the_first_do():
    """Within a factor that tells constant from linear, which would be a hundred."""
    network = Network()
    network.say(mac(0), ip(0), HERE)
    gc.disable()
    try:
        first = min(seconds(Network(), 0, 400) for _ in range(3))
        seconds(network, 1, 7500)
        last = min(seconds(network, 7600 + 100 * n, 100) for n in range(3)) * 4
    finally:
        gc.enable()
    assert last < 10 * first


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"),
            st.integers(0, 4).map(mac),
            st.integers(0, 5).map(ip),
            st.sampled_from([HERE, THERE, ELSEWHERE]),
            st.booleans(),
        ),
        st.tuples(st.just("wait"), st.sampled_from([ASK_PERIOD, 2.0, HOST_AGE])),
        st.tuples(st.just("down"), st.frozensets(st.sampled_from([HERE, THERE]))),
        st.tuples(st.just("doubt"), st.sampled_from([HERE, THERE])),
        st.tuples(
            st.just("answer"), st.integers(0, 4).map(mac), st.integers(0, 5).map(ip), st.sampled_from([HERE, THERE])
        ),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=300)
@given(EVENTS)
def test_whatever_is_said_the_table_agrees_with_itself_and_the_file_holds(events):
    fixed = (Host("h", mac(0), *HERE, (ip(0),), fixed=True),)
    network = Network(fixed)
    for kind, *more in events:
        match kind:
            case "say":
                network.say(*more)
            case "wait":
                network.wait(*more)
            case "down":
                network.down = more[0]
            case "doubt":
                network.take(network.hosts.doubt(more))
            case "answer":
                network.answering.add(tuple(more))
        hosts = network.hosts
        assert {address: host.mac for address, host in hosts.by_address.items()} == {
            address: host.mac for host in hosts for address in host.addresses
        }
        assert all(hosts.by_mac[host.mac] is host for host in hosts.by_address.values())
        assert {place for place in (HERE, THERE, ELSEWHERE) if hosts.are_at(place)} == {host.place for host in hosts}
        assert {name for name in ("leaf1", "leaf2") if hosts.are_on(name)} == {host.switch for host in hosts}
        assert hosts.by_mac[mac(0)].place == HERE
        assert hosts.by_address[ip(0)].mac == mac(0)
        table = {host.mac: host for host in fixed}
        for before, after in network.moved:
            assert (before and table.pop(before.mac)) == before
            table |= {after.mac: after} if after else {}
        assert table == hosts.by_mac
