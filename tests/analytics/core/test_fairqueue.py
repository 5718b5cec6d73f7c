"""fairqueue: within a batch agents take turns; of what is too much, that of who sends most is shed."""

from __future__ import annotations

from collections import defaultdict
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.fairqueue import FairQueue
from tests.analytics.examples.wire import datagram

MOST = 64
AGENTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.1.0.1", "fe80::1", "fe80::2", "::1:0:0:1"])


def batch(agents: list[str]) -> list[bytes]:
    return [datagram(agent=agent, sequence=number) for number, agent in enumerate(agents)]


def in_rounds(agents: list[str]) -> list[bytes]:
    """The first of each agent in the order in which they came, then the second of each, and so on."""
    queues = defaultdict(list)
    for agent, made in zip(agents, batch(agents), strict=True):
        queues[agent].append(made)
    rounds = list(zip_longest(*queues.values()))
    order = {made: number for number, made in enumerate(batch(agents))}
    return [made for each in rounds for made in sorted(filter(None, each), key=order.get)]


@given(st.lists(AGENTS, min_size=9, max_size=MOST))
def test_agents_take_turns(agents):
    assert FairQueue().arranged(batch(agents), False, 0.0) == in_rounds(agents)


@given(st.lists(st.binary(max_size=30), max_size=MOST))
def test_whatever_bytes_come_all_are_taken(datagrams):
    assert sorted(FairQueue().arranged(datagrams, False, 0.0)) == sorted(datagrams)


def test_one_datagram_does_not_wait_for_those_of_others_before_it():
    sent = batch(["10.9.9.9"] * 63 + ["10.0.0.1"])
    assert FairQueue().arranged(sent, True, 0.0)[:3] == [sent[0], sent[63], sent[1]]


def test_a_few_are_taken_as_they_came():
    sent = batch(["10.9.9.9"] * 7 + ["10.0.0.1"])
    assert FairQueue().arranged(sent, False, 0.0) == sent


STANDING_S, HALVING_S, RECOVERY_S = 0.25, 0.0625, 0.125  # what the share takes to change, a little more, and exact


def flooded(halvings: int, began: float = 0.0) -> FairQueue:
    """After full batches of one agent that went on for so long."""
    queue = FairQueue()
    for at in (0.0, *(STANDING_S + number * HALVING_S for number in range(halvings))):
        queue.arranged(batch(["10.9.9.9"] * MOST), True, began + at)
    return queue


def test_nothing_is_shed_of_a_burst():
    queue = FairQueue()
    for number in range(50):
        assert len(queue.arranged(batch(["10.9.9.9"] * MOST), True, number * 0.0009)) == MOST


def test_full_batches_that_do_not_end_halve_the_share_again_and_again():
    queue = flooded(2)
    assert queue.share == 16
    sent = batch(["10.9.9.9"] * 32 + ["10.0.0.1"] * 16 + ["10.0.0.2"] * 16)
    taken = queue.arranged(sent, True, STANDING_S + HALVING_S)
    assert sorted(taken) == sorted(sent[:16] + sent[32:])


def test_who_sends_little_loses_nothing_however_long_it_goes_on():
    queue = flooded(12)
    sent = batch(["10.9.9.9"] * 56 + ["10.0.0.1"] * 4 + ["10.0.0.2"] * 4)
    taken = queue.arranged(sent, True, 1.0)
    assert sorted(taken) == sorted(sent[:4] + sent[56:])


def test_of_a_batch_that_is_not_full_nothing_is_shed():
    queue = flooded(6)
    assert queue.share == 4
    sent = batch(["10.9.9.9"] * 63)
    assert queue.arranged(sent, False, 1.6) == sent


def test_the_share_comes_back_in_steps():
    queue = flooded(5)
    shares = []
    for number in range(6):
        queue.arranged([], False, 2.0 + number * RECOVERY_S)
        shares.append(queue.share)
    assert shares == [4, 8, 16, 32, MOST, MOST]


def test_a_flood_that_goes_on_is_noticed_sooner_than_one_that_begins():
    queue = flooded(2)
    queue.arranged([], False, 2.0)
    queue.arranged(batch(["10.9.9.9"] * MOST), True, 2.1)
    queue.arranged(batch(["10.9.9.9"] * MOST), True, 2.1 + HALVING_S)
    assert queue.share == 8


def test_a_share_that_is_right_stays():
    """Batches that are now full, now not: all that comes is taken or shed, and nobody waits."""
    queue = flooded(2)
    for number in range(1000):
        queue.arranged([], number % 2 == 1, 2.0 + number / 256)
    assert queue.share == 16


def test_too_long_a_batch():
    with pytest.raises(ValueError, match="64"):
        FairQueue().arranged([b""] * 65, False, 0.0)
