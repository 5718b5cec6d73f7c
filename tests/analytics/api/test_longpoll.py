"""analytics.api.longpoll: many waiting requests, woken in slices, the longest waiting gives way."""

import asyncio
import itertools
import os
import random
import threading
import time

import pytest

from analytics.api import longpoll
from analytics.api.longpoll import LongPolls
from analytics.events.log import Event
from analytics.news import Topic
from tests.patience import PATIENCE_S


@pytest.fixture
def signal():
    """(what LongPolls watches, what an event does)"""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd, lambda: os.eventfd_write(fd, 1)
    os.close(fd)


async def never():
    await asyncio.Event().wait()


def test_when_too_many_wait_the_one_that_has_waited_longest_gets_the_empty_answer(signal):
    async def scenario():
        polls = LongPolls(signal[0], most=2)
        polls.start()
        waiting = []
        for _ in range(4):
            waiting.append(asyncio.ensure_future(polls.wait(list, 60, never())))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.gather(*waiting[:2]), PATIENCE_S) == [[], []]
        assert not any(poll.done() for poll in waiting[2:])
        for poll in waiting[2:]:
            poll.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        polls.close()

    asyncio.run(scenario())


def test_an_event_wakes_a_few_at_a_time_so_that_others_run_in_between(signal, monkeypatch):
    monkeypatch.setattr(longpoll, "WOKEN_AT_ONCE", 3)
    asked, turns = [], []

    async def beside():
        while len(asked) < 20:
            turns.append(len(asked))
            await asyncio.sleep(0)

    async def scenario():
        polls = LongPolls(signal[0])
        polls.start()
        events = []

        def ask():
            if events:
                asked.append(1)
            return list(events)

        waiting = [asyncio.ensure_future(polls.wait(ask, 60, never())) for _ in range(20)]
        await asyncio.sleep(0)
        events.append("event")
        signal[1]()
        await beside()
        assert await asyncio.gather(*waiting) == [["event"]] * 20
        polls.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 6


def test_events_that_come_faster_than_all_are_woken_reach_all(signal, monkeypatch):
    """Those that asked in vain wait again behind those that were not yet woken."""
    monkeypatch.setattr(longpoll, "WOKEN_AT_ONCE", 2)
    asked = dict.fromkeys(range(10), 0)

    async def scenario():
        polls = LongPolls(signal[0])
        polls.start()

        def asking(number):
            def ask():
                asked[number] += 1
                signal[1]()  # the next event
                return ["enough"] if min(asked.values()) >= 5 else []

            return ask

        waiting = [asyncio.ensure_future(polls.wait(asking(number), 60, never())) for number in asked]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert max(asked.values()) <= 3 * min(asked.values())
        for poll in waiting:
            poll.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        polls.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_no_event_is_missed_while_polls_come_and_go(engine):
    """Events from another thread at any moment: between a look and the wait, while others are woken. One that fell
    between would be answered with the time-out."""
    events, readers = 3000, 8
    fd = engine.news.fd(Topic.THRESHOLDS)
    chance = random.Random(1)

    def emit():
        for number in range(events):
            with engine.pipeline:
                engine.news.emit(Event(f"t{number % 3}", "m", 1.0, 2.0, "10.0.0.1", "1", 0.0))
            if number % 7 == 0:
                time.sleep(chance.random() * 0.002)

    async def read(polls):
        """Asks again and again, for one threshold of three; the longest wait, and how many events came."""
        cursor, came, longest = 0, 0, 0.0
        while cursor < events:
            place = cursor

            def look():
                nonlocal place
                newest = engine.newest()[Topic.THRESHOLDS]
                found = engine.events(place, 1000, "t2")
                if not found:
                    place = newest
                return found

            began = time.monotonic()
            found = await polls.wait(look, 2 * PATIENCE_S, never())
            longest = max(longest, time.monotonic() - began)
            cursor, came = found[0].id if found else events, came + len(found)
        return longest, came

    async def scenario():
        polls = LongPolls(fd)
        polls.start()
        thread = threading.Thread(target=emit)
        thread.start()
        answers = await asyncio.gather(*(read(polls) for _ in range(readers)))
        thread.join()
        polls.close()
        return answers

    answers = asyncio.run(scenario())
    assert max(longest for longest, _ in answers) < PATIENCE_S
    assert min(came for _, came in answers) > 0
