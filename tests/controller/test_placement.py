"""Placement and fair sharing against what theory says must come out."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.policy.demand import Demands
from controller.policy.fairshare import fair_share
from controller.policy.marking import within_cap
from controller.policy.placement import Placement
from controller.steering import Steering
from controller.topology import Fabric, Port, switches_of
from scripts.experiments.patterns import randbij, stride
from topologies.fattree import fattree
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(4, 4, 4, 5))


def elephants(fabric, pairs, protocol=6, rate=1e6):
    """One elephant per (source host number, destination host number), counted from 0."""
    hosts = {host.name: host for host in fabric.hosts}
    out = {}
    for number, (a, b) in enumerate(pairs, 1):
        source, destination = hosts[f"h{a + 1}"], hosts[f"h{b + 1}"]
        flow = FlowKey(source.ipv4, destination.ipv4, protocol, 5000 + number, 5001)
        entry = fabric.switches[source.switch].ports[source.port]
        exit = fabric.switches[destination.switch].ports[destination.port]
        out[flow] = Elephant(flow, entry, rate, 0.0, 0.0, exit)
    return out


def placed(fabric, flows, choice):
    """Every elephant on the path that `choice(paths)` picks."""
    return {flow: choice(elephant.paths(fabric)) for flow, elephant in flows.items()}


def throughput(fabric, flows, where):
    """The max-min total of the flows on these paths, bits/s."""
    uses, capacity = {}, {}
    for flow, elephant in flows.items():
        ends = [("in", elephant.entry), ("out", elephant.exit), *where[flow]]
        uses[flow] = ends
        capacity.update({end: 5e6 for end in ends})
    return sum(fair_share(uses, capacity).values())


def steering(fabric, flows, where):
    """All that is known of these elephants."""
    known = Steering(fabric)
    for flow, elephant in flows.items():
        known.see(elephant, where[flow])
    return known


def decide(fabric, flows, where):
    return steering(fabric, flows, where).decide(100.0, hold=2.0)


def after(fabric, flows, where, rounds=1):
    """(where they are after so many decisions, each later than the hold time; the moves)."""
    known, where, made = steering(fabric, flows, where), dict(where), []
    for step in range(rounds):
        known.retry()
        made += (moves := known.decide(100.0 + 10 * step, hold=2.0))
        where.update({move.flow: move.path for move in moves})
    return where, made


def pooled(fabric, flows):
    """The most that any routing can give: max-min with each edge switch's links pooled, bits/s."""
    uses, capacity = {}, {}
    for flow, elephant in flows.items():
        one, other = elephant.entry, elephant.exit
        uses[flow] = [("in", one), ("out", other)]
        capacity.update(dict.fromkeys(uses[flow], 5e6))
        if one.switch != other.switch:
            uses[flow] += [("up", one.switch), ("down", other.switch)]
            capacity["up", one.switch] = 5e6 * len(fabric.link_ports(one.switch))
            capacity["down", other.switch] = 5e6 * len(fabric.link_ports(other.switch))
    return sum(fair_share(uses, capacity).values())


def test_fair_share_is_max_min():
    rates = fair_share({"a": ["x"], "b": ["x", "y"], "c": ["y"]}, {"x": 10.0, "y": 30.0})
    assert rates == pytest.approx({"a": 5.0, "b": 5.0, "c": 25.0})
    assert fair_share({"a": ["x"], "b": ["x"]}, {"x": 10.0}, {"a": 2.0}) == pytest.approx({"a": 2.0, "b": 8.0})


@given(st.dictionaries(st.integers(0, 9), st.sets(st.sampled_from("uvwxyz"), min_size=1), min_size=1))
def test_fair_share_fills_a_resource_of_every_flow_and_overfills_none(flows):
    capacity = dict(zip("uvwxyz", (1.0, 2.0, 3.0, 5.0, 8.0, 13.0), strict=True))
    rates = fair_share({flow: sorted(uses) for flow, uses in flows.items()}, capacity)
    used = {r: sum(rates[flow] for flow, uses in flows.items() if r in uses) for r in capacity}
    assert all(used[r] <= capacity[r] * (1 + 1e-6) for r in capacity)
    assert all(any(used[r] >= capacity[r] * (1 - 1e-6) for r in uses) for uses in flows.values())


def test_two_elephants_on_one_spine_part():
    flows = elephants(FABRIC, [(0, 4), (1, 5)])
    where, moves = after(FABRIC, flows, placed(FABRIC, flows, lambda paths: paths[0]))
    assert len(moves) == 1
    assert len({switches_of(path, "leaf1")[1] for path in where.values()}) == 2
    assert moves[0].pressure == pytest.approx(2.0)
    assert moves[0].busiest.source.switch == "leaf1"


def test_none_moves_where_links_suffice():
    flows = elephants(FABRIC, [(0, 4), (1, 5)])
    apart = iter((0, 1))
    where = placed(FABRIC, flows, lambda paths: paths[next(apart)])
    assert decide(FABRIC, flows, where) == []


def test_colliding_at_the_receiver_is_no_reason_to_move():
    """Two elephants to one host share its link whatever path they take: each wants half of it."""
    flows = elephants(FABRIC, [(0, 4), (8, 4)])
    assert decide(FABRIC, flows, placed(FABRIC, flows, lambda paths: paths[0])) == []


@pytest.mark.parametrize(("rate", "moves"), [(2.4e6, 0), (3e6, 1)])
def test_a_udp_elephant_wants_what_it_sends(rate, moves):
    flows = elephants(FABRIC, [(0, 4), (1, 5)], protocol=17, rate=rate)
    assert len(decide(FABRIC, flows, placed(FABRIC, flows, lambda paths: paths[0]))) == moves


def test_a_flow_that_just_moved_stays():
    flows = elephants(FABRIC, [(0, 4), (1, 5)])
    known = steering(FABRIC, flows, placed(FABRIC, flows, lambda paths: paths[0]))
    (move,) = known.decide(100.0, hold=2.0)
    (other,) = flows.keys() - {move.flow}
    known.see(flows[other], move.path)  # it went the same way
    assert [late.flow for late in known.decide(101.9, hold=2.0)] == [other]
    known.see(flows[other], move.path)
    known.retry()
    assert known.decide(101.9, hold=2.0) == []
    known.retry()
    assert len(known.decide(104.0, hold=2.0)) == 1


def test_a_move_that_is_not_made_leaves_the_flow_where_it_was():
    flows = elephants(FABRIC, [(0, 4), (1, 5)])
    where = placed(FABRIC, flows, lambda paths: paths[0])
    known = steering(FABRIC, flows, where)
    (move,) = known.decide(100.0, hold=2.0)
    known.undo(move, where[move.flow])
    assert known.decide(100.1, hold=2.0) == [move]


@pytest.mark.parametrize("seed", range(20))
def test_a_permutation_over_as_many_spines_as_hosts_reaches_the_bound(seed):
    """Koenig: with S >= H every permutation can be carried in full; ECMP carries some 70 % of it."""
    rng = random.Random(seed)
    flows = elephants(FABRIC, stride(16, 4) if seed % 2 else randbij(16, rng))
    where = placed(FABRIC, flows, rng.choice)
    bound = throughput(FABRIC, flows, dict.fromkeys(flows, ()))
    where, moves = after(FABRIC, flows, where, rounds=3)
    assert throughput(FABRIC, flows, where) >= 0.999 * bound
    assert len(moves) <= len(flows) / 2


@pytest.mark.parametrize("seed", range(10))
def test_a_permutation_on_a_fat_tree_reaches_the_bound(seed):
    """It has as many paths upwards as hosts below, in both tiers."""
    rng, fabric = random.Random(seed), Fabric.from_spec(fattree(4))
    flows = elephants(fabric, stride(16, 1 + rng.randrange(15)) if seed % 2 else randbij(16, rng))
    where, _ = after(fabric, flows, placed(fabric, flows, rng.choice), rounds=5)
    assert throughput(fabric, flows, where) >= 0.999 * pooled(fabric, flows)


@pytest.mark.parametrize("seed", range(10))
def test_links_with_too_little_room_share_what_they_carry(seed):
    """Two spines for four hosts a leaf: every leaf's flows are spread evenly."""
    rng, fabric = random.Random(seed), Fabric.from_spec(leafspine(2, 4, 4, 5))
    flows = elephants(fabric, stride(16, 4 * (1 + rng.randrange(3))))
    where, _ = after(fabric, flows, placed(fabric, flows, rng.choice), rounds=5)
    assert throughput(fabric, flows, where) >= 0.999 * pooled(fabric, flows)


def test_a_decision_has_an_end_and_the_next_one_goes_on():
    rng, fabric = random.Random(5), Fabric.from_spec(fattree(8))
    flows = elephants(fabric, randbij(128, rng))
    known = steering(fabric, flows, where := placed(fabric, flows, rng.choice))
    decisions = 0
    while decisions == 0 or known.unfinished:
        where.update({move.flow: move.path for move in known.decide(100.0 + 10 * decisions, hold=2.0)})
        decisions += 1
    assert 1 < decisions < 100
    assert throughput(fabric, flows, where) >= 0.95 * pooled(fabric, flows)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 24))
def test_a_decision_never_makes_it_worse_and_settles(rng, count):
    pairs = [tuple(rng.sample(range(16), 2)) for _ in range(count)]
    flows = elephants(FABRIC, pairs)
    where = placed(FABRIC, flows, rng.choice)
    before = throughput(FABRIC, flows, where)
    settled, _ = after(FABRIC, flows, where)
    assert throughput(FABRIC, flows, settled) >= 0.95 * before
    for _ in range(5):
        settled, moves = after(FABRIC, flows, settled)
    assert moves == []


PORTS = [Port("s", number, f"p{number}", speed) for number, speed in enumerate((0, 5000, 5000, 10_000, 40_000))]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.none()
            | st.tuples(st.sampled_from(PORTS), st.none() | st.sampled_from(PORTS), st.none() | st.floats(0, 9000)),
        ),
        max_size=40,
    ),
    st.sets(st.integers(0, 40)),
)
def test_what_flows_want_is_what_hosts_alone_would_allow(changes, pauses):
    """However flows come, change and go: max-min over the ports that are left."""
    demands, flows = Demands(), {}
    for number, (port, flow) in enumerate(changes):
        key = FlowKey("10.0.0.1", "10.0.0.2", 6, port, 1)
        flows.pop(key, None)
        if flow is None:
            demands.drop(key)
        else:
            demands.put(key, *flow)
            flows[key] = flow
        if number in pauses:
            demands.settle()
    demands.settle()
    uses = {
        key: [(way, port) for way, port in (("in", entry), ("out", exit)) if port is not None and port.speed]
        for key, (entry, exit, _) in flows.items()
    }
    capacity = {end: float(end[1].speed) for ends in uses.values() for end in ends}
    most = {key: limit if uses[key] or limit is not None else 0.0 for key, (_, _, limit) in flows.items()}
    wanted = fair_share(uses, capacity, {key: limit for key, limit in most.items() if limit is not None})
    assert {key: demands.of(key) for key in flows} == pytest.approx(wanted, rel=0.01)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_the_load_of_links_is_what_their_flows_want(rng, count):
    """Whatever is put, moved and dropped: a placement made anew from where the flows are has nothing to do, too."""
    placement, there = Placement(FABRIC), {}
    for step in range(count):
        source, destination = rng.sample(["leaf1", "leaf2", "leaf3", "leaf4"], 2)
        flow = FlowKey("10.0.0.1", "10.0.0.2", 6, rng.randrange(15), 1)
        if rng.random() < 0.2:
            placement.drop(flow)
            there.pop(flow, None)
        else:
            path = rng.choice(FABRIC.paths(source, destination))
            there[flow] = ((source, destination), path, rng.choice([1e6, 2.5e6, 5e6]))
            placement.put(flow, *there[flow])
        if step % 3 == 0:
            for move in placement.decide(()):
                ends, _, wanted = there[move.flow]
                there[move.flow] = (ends, move.path, wanted)
    for _ in range(9):  # until it finds nothing more
        placement.retry()
        for move in placement.decide(()):
            there[move.flow] = (there[move.flow][0], move.path, there[move.flow][2])
    again = Placement(FABRIC)
    for flow, (ends, path, wanted) in there.items():
        again.put(flow, ends, path, wanted)
    assert again.decide(()) == []


def test_the_cap_keeps_the_largest():
    flows = elephants(FABRIC, [(0, 4), (1, 5), (2, 6), (8, 12)])
    for rate, elephant in zip((1e6, 3e6, 2e6, 1e3), flows.values(), strict=True):
        elephant.rate = rate
    kept, refused = within_cap(flows.values(), 2)
    flows = list(flows)
    assert kept == [flows[1], flows[2]]
    assert refused == [flows[0], flows[3]]


def test_distinct_links_of_the_fabric_are_distinct_keys():
    assert len(set(FABRIC.links)) == len(FABRIC.links) == 2 * 16
    assert all(a != b for a, b in itertools.combinations(FABRIC.links, 2))
