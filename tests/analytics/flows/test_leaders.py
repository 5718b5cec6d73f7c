"""core/flows/leaders: the largest flows over many data sources, against a slow and obvious computation of the same."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from analytics.flows.definitions import Mode
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp

NOW = 1000.0
Observations = dict[tuple[str, int, int], int]  # (agent, port, flow) -> bytes of its only sample


def feed(engine, observations: Observations) -> None:
    """One sample of each, of 1 in 1, with a time constant of one second: its value is its bytes."""
    engine.set_flow("f", {"keys": "tcpsourceport,ipsource", "value": "bytes", "t": 1})
    by_agent = defaultdict(list)
    for (agent, port, flow), size in observations.items():
        address = f"10.{flow >> 24}.{flow >> 16 & 255}.{flow >> 8 & 255}"
        header = sampled_header(ethernet(ipv4(tcp(1 + flow % 251), 6, address)), frame_length=size)
        by_agent[agent].append(flow_sample(header, rate=1, source=(0, port), ports=(port, 0)))
    for agent, samples in by_agent.items():
        for number, first in enumerate(range(0, len(samples), 50), 1):
            engine.feed([datagram(*samples[first : first + 50], agent=agent, sequence=number)], NOW)


def key(flow: int) -> str:
    return f"{1 + flow % 251},10.{flow >> 24}.{flow >> 16 & 255}.{flow >> 8 & 255}"


def merged(observations: Observations, mode: Mode) -> dict[str, tuple[float, int]]:
    """Key -> (value, data sources), as the mode says."""
    values = defaultdict(list)
    for (_, _, flow), size in observations.items():
        values[key(flow)].append(size)
    how = {Mode.MAX: max, Mode.SUM: sum, Mode.AVG: lambda sizes: sum(sizes) / len(sizes)}[mode]
    return {name: (how(sizes), len(sizes)) for name, sizes in values.items()}


@pytest.mark.parametrize("mode", [Mode.MAX, Mode.SUM, Mode.AVG])
@pytest.mark.parametrize("most", [1, 7, 1000])
def test_they_are_what_a_dictionary_makes_of_them(engine, mode, most):
    chance = random.Random(1)
    observations = {
        (f"10.9.9.{agent}", port, flow << 8): chance.randrange(64, 9000)
        for agent in range(1, 5)
        for port in range(1, 7)
        for flow in chance.sample(range(400), 150)
    }
    feed(engine, observations)
    found = engine.active_flows(["ALL"], "f", NOW, most, mode=mode)
    expected = merged(observations, mode)
    values = sorted((value for value, _ in expected.values()), reverse=True)
    assert [flow.value for flow in found] == pytest.approx(values[:most])
    for flow in found:
        value, sources = expected[flow.key]
        assert (flow.value, flow.sources) == (pytest.approx(value), sources)
        everywhere = {
            (agent, str(port)): size for (agent, port, of), size in observations.items() if key(of) == flow.key
        }
        assert everywhere[flow.agent, flow.source] == max(everywhere.values())


def test_what_is_small_at_every_place_counts_in_the_sum(engine):
    """A hundred larger flows at each data source, and one flow at all of them."""
    mice = {("10.9.9.9", port, (1 + number * 50 + port) << 8): 200 for port in range(1, 31) for number in range(100)}
    feed(engine, mice | {("10.9.9.9", port, 0): 100 for port in range(1, 31)})
    [largest] = engine.active_flows(["ALL"], "f", NOW, 1, mode=Mode.SUM)
    assert (largest.key, largest.value, largest.sources) == (key(0), pytest.approx(30 * 100), 30)


@pytest.mark.parametrize(("mode", "least", "found"), [(Mode.SUM, 250, 1), (Mode.AVG, 150, 1), (Mode.MAX, 200, 1)])
def test_the_least_value_is_one_of_the_answer(engine, mode, least, found):
    feed(engine, {("10.9.9.9", 1, 0): 100, ("10.9.9.9", 2, 0): 200})
    assert len(engine.active_flows(["ALL"], "f", NOW, 10, least, mode=mode)) == found
    assert engine.active_flows(["ALL"], "f", NOW, 10, least + 60, mode=mode) == []


def test_of_very_many_keys_the_largest_sums_are_found(engine):
    """More keys than are added up at a time; twenty of them are large, in two halves at two places."""
    many = {("10.9.9.9", 1, flow << 8): 100 for flow in range(20, 130_000)}
    large = {("10.9.9.9", port, flow << 8): 1000 + flow for flow in range(20) for port in (2, 3)}
    feed(engine, many | large)
    found = engine.active_flows(["ALL"], "f", NOW, 20, mode=Mode.SUM)
    assert [(flow.key, flow.sources) for flow in found] == [(key(flow << 8), 2) for flow in range(19, -1, -1)]
    assert [flow.value for flow in found] == pytest.approx([2 * (1000 + flow) for flow in range(19, -1, -1)])
