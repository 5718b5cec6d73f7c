"""Long answers and several at once: made in turns, with others served in between."""

import asyncio
import itertools

import httpx

from analytics.api import rest, serving
from tests.analytics.api.application import (
    AGENT,
    NOW,
    flow_sample,
)
from tests.analytics.examples import wire


def many_flows(engine, count):
    engine.set_flow("f", {"keys": "ipsource,tcpsourceport", "value": "bytes", "t": 600})
    for first in range(0, count, 20):
        samples = [flow_sample(4, source=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(first, first + 20)]
        engine.feed([wire.datagram(*samples, agent=AGENT, sequence=first)], NOW)


def test_a_long_answer_is_the_same_in_pieces(client, monkeypatch):
    many_flows(client.engine, 200)
    for path in ("/activeflows/ALL/f/json?maxFlows=1000", f"/metric/{AGENT}/json", "/dump/ALL/ALL/json"):
        whole = client.text(path)
        with monkeypatch.context() as changed:
            changed.setattr(serving, "PIECE", 1)
            assert client.text(path) == whole


def test_others_are_served_between_the_turns_of_a_long_answer(client):
    """And nothing goes on when the client has left."""
    turns, served = [], []

    def long():
        while True:
            turns.append(len(served))
            yield

    async def exchange():
        api = client.app.state.api
        gone = asyncio.Event()

        class Waiting:
            async def is_disconnected(self):
                return gone.is_set()

        asked = [asyncio.ensure_future(api.asked(Waiting(), long())) for _ in range(3)]
        for _ in range(50):
            await asyncio.sleep(0)
            served.append(len(turns))
        gone.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    ended = asyncio.run(exchange())
    assert [type(each) for each in ended] == [rest.ClientDisconnect] * 3
    rounds = [after - before for before, after in itertools.pairwise(served)]
    assert sum(rounds) > 0
    assert max(rounds) <= 3, "of all long answers few turns are taken while a short one waits"
    taken = len(turns)
    assert taken < 100


def test_two_topologies_at_once_leave_the_same_one_everywhere(client):
    """The one that is answered is the one that the engine uses."""
    documents = [{"nodes": {f"s{n}": {"agent": AGENT, "ports": {}}}, "links": {}} for n in range(6)]

    async def exchange():
        transport = httpx.ASGITransport(app=client.app)
        async with (
            client.app.router.lifespan_context(client.app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
        ):
            answers = await asyncio.gather(*(http.put("/topology/json", json=each) for each in documents))
            assert {answer.status_code for answer in answers} == {204}
            return (await http.get("/topology/json")).json()

    found = asyncio.run(exchange())
    assert found["version"] == 6
    assert found["nodes"] == client.engine._topology.document["nodes"]
