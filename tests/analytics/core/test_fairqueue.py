"""fairqueue: agents take turns; what has no room is shed from the longest queue, the oldest first."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.fairqueue import FairQueue

QUEUES, MOST = 1024, 64
HEAD = 32  # bytes that a datagram takes beside its own
ROOM = 1000
ROOM_BYTES = 16 << 20


class Model:
    """The same, obvious and slow."""

    def __init__(self) -> None:
        self.queues: dict[int, deque[bytes]] = {}
        self.turns: deque[int] = deque()
        self.shed = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self.queues.values()))

    def add(self, datagram: bytes, agent: int | None, room: int) -> None:
        queue = 0 if agent is None else 1 + agent % (QUEUES - 1)
        self.queues.setdefault(queue, deque()).append(datagram)
        if queue not in self.turns:
            self.turns.append(queue)
        while self.waiting > room:
            longest = max(sorted(self.queues), key=lambda each: sum(HEAD + len(held) for held in self.queues[each]))
            self.queues[longest].popleft()
            self.shed += 1

    def next(self, most: int) -> list[bytes]:
        taken: list[bytes] = []
        while len(taken) < most and self.turns:
            queue = self.turns.popleft()
            if self.queues[queue]:
                taken.append(self.queues[queue].popleft())
                if self.queues[queue]:
                    self.turns.append(queue)
        return taken


AGENTS = st.none() | st.integers(0, 4) | st.sampled_from([1023, 1024, 2045, 0xFFFFFFFE])
ADDED = st.tuples(st.binary(max_size=20), AGENTS, st.integers(1, 12))


@given(st.lists(ADDED | st.integers(0, 8), max_size=100))
def test_it_does_what_the_model_does(steps):
    queue, model = FairQueue(), Model()
    for step in steps:
        if isinstance(step, int):
            assert queue.next(step) == model.next(step)
        else:
            queue.add(*step)
            model.add(*step)
        assert (queue.waiting, queue.shed) == (model.waiting, model.shed)
    assert queue.next(MOST) == model.next(MOST)


def test_one_datagram_does_not_wait_for_those_of_others_before_it():
    queue = FairQueue()
    for number in range(ROOM - 1):
        queue.add(b"%d" % number, 9, ROOM)
    queue.add(b"mine", 1, ROOM)
    assert queue.next(3) == [b"0", b"mine", b"1"]


def test_who_sends_little_loses_nothing_and_of_who_sends_much_the_oldest_goes():
    queue = FairQueue()
    for number in range(10 * ROOM):
        queue.add(b"%d" % number, 9, ROOM)
        if number % 100 == 0:
            queue.add(b"mine", 1, ROOM)
    taken = [datagram for _ in range(ROOM // MOST + 1) for datagram in queue.next(MOST)]
    assert taken.count(b"mine") == 100
    assert [each for each in taken if each != b"mine"] == [b"%d" % number for number in range(9100, 10_000)]
    assert (queue.shed, queue.waiting) == (9100, 0)


def test_new_agents_share_what_one_has():
    """Whoever forges an agent for each datagram does not push out those that are known."""
    queue = FairQueue()
    for number in range(10 * ROOM):
        queue.add(b"forged", None, ROOM)
        queue.add(b"mine", 1 + number % 100, ROOM)
        if number % 64 == 63:
            assert queue.next(MOST).count(b"mine") >= 63
    assert queue.shed > 0


def test_large_datagrams_have_a_bound_in_bytes():
    queue = FairQueue()
    for _ in range(300):
        queue.add(bytes(65_000), 9, 8000)
    queue.add(b"mine", 1, 8000)
    assert queue.waiting == ROOM_BYTES // (HEAD + 65_000) + 1
    assert b"mine" in queue.next(2)


def test_no_more_are_taken_than_a_batch_has():
    with pytest.raises(ValueError, match="64"):
        FairQueue().next(MOST + 1)
