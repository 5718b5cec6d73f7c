"""Placement and fair sharing against what theory says must come out."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.policy.fairshare import fair_share
from controller.policy.marking import entry_switch, within_cap
from controller.policy.placement import decide, demands
from controller.topology import Fabric, switches_of
from scripts.experiments.patterns import randbij, stride
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(4, 4, 4, 5))
HOSTS = {host.name: host for host in FABRIC.hosts}


def elephants(fabric, pairs, protocol=6, rate=1e6):
    """One elephant per (source host number, destination host number), counted from 0."""
    out = {}
    for number, (a, b) in enumerate(pairs, 1):
        source, destination = HOSTS[f"h{a + 1}"], HOSTS[f"h{b + 1}"]
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


def after(fabric, flows, where, now=100.0, **options):
    moves = decide(fabric, flows, where, {}, now=now, **options)
    return {**where, **{move.flow: move.path for move in moves}}, moves


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
    assert decide(FABRIC, flows, where, {}, now=100.0) == []


def test_colliding_at_the_receiver_is_no_reason_to_move():
    """Two elephants to one host share its link whatever path they take: each wants half of it."""
    flows = elephants(FABRIC, [(0, 4), (8, 4)])
    assert demands(flows) == pytest.approx(dict.fromkeys(flows, 2.5e6))
    assert decide(FABRIC, flows, placed(FABRIC, flows, lambda paths: paths[0]), {}, now=100.0) == []


def test_a_udp_elephant_wants_what_it_sends():
    flows = elephants(FABRIC, [(0, 4)], protocol=17, rate=1.5e6)
    assert list(demands(flows).values()) == pytest.approx([1.5e6])


def test_a_flow_that_just_moved_stays():
    flows = elephants(FABRIC, [(0, 4), (1, 5)])
    where = placed(FABRIC, flows, lambda paths: paths[0])
    assert decide(FABRIC, flows, where, dict.fromkeys(flows, 99.0), now=100.0, hold=2.0) == []
    assert decide(FABRIC, flows, where, dict.fromkeys(flows, 99.0), now=101.5, hold=2.0) != []


@pytest.mark.parametrize("seed", range(20))
def test_a_permutation_over_as_many_spines_as_hosts_reaches_the_bound(seed):
    """Koenig: with S >= H every permutation can be carried in full; ECMP carries some 70 % of it."""
    rng = random.Random(seed)
    flows = elephants(FABRIC, stride(16, 4) if seed % 2 else randbij(16, rng))
    where = placed(FABRIC, flows, rng.choice)
    bound = throughput(FABRIC, flows, dict.fromkeys(flows, ()))
    for step in range(3):  # three rounds, as hold times allow
        where, _ = after(FABRIC, flows, where, now=100.0 + 10 * step)
    assert throughput(FABRIC, flows, where) >= 0.97 * bound


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


def test_the_cap_keeps_the_largest():
    flows = elephants(FABRIC, [(0, 4), (1, 5), (2, 6), (8, 12)])
    for rate, elephant in zip((1e6, 3e6, 2e6, 1e3), flows.values(), strict=True):
        elephant.rate = rate
    kept, refused = within_cap(flows.values(), 2, entry_switch)
    flows = list(flows)
    assert kept == {flows[1], flows[2], flows[3]}
    assert refused == {flows[0]}


def test_distinct_links_of_the_fabric_are_distinct_keys():
    assert len(set(FABRIC.links)) == len(FABRIC.links) == 2 * 16
    assert all(a != b for a, b in itertools.combinations(FABRIC.links, 2))
