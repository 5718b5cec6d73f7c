"""analytics.api.compression: what is compressed for whom, and that it is the same when it is unpacked."""

import asyncio
import gzip
import json

import pytest
import zstandard
from starlette.responses import Response, StreamingResponse

from analytics.api import compression
from analytics.api.compression import compressed, encoding_for
from tests.analytics.api.application import Client, counter_sample

UNPACK = {"gzip": gzip.decompress, "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body)}


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0", None),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=x", None),
        ("br;q=1, ;;, ,", None),
    ],
)
def test_the_client_chooses(accept, encoding):
    assert encoding_for(accept) == encoding


def asked(response, accept="gzip", method="GET"):
    """What is sent of a response: (headers, pieces)."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.Event().wait()  # the client stays

    scope = {"type": "http", "method": method, "headers": [(b"accept-encoding", accept.encode())]}
    asyncio.run(compressed(response)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert [message["more_body"] for message in sent[1:] if "more_body" in message][-1:] in ([], [False])
    return headers, [message.get("body", b"") for message in sent[1:]]


BODY = json.dumps([{"agent": f"10.0.0.{n % 250}", "value": n * 1.5} for n in range(20_000)]).encode()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_long_answer_is_compressed_in_slices(encoding):
    headers, pieces = asked(Response(BODY, media_type="application/json"), encoding)
    assert headers["content-encoding"] == encoding
    assert "content-length" not in headers
    assert headers["vary"] == "Accept-Encoding"
    assert len(pieces) == len(BODY) // compression.SLICE + 2
    assert UNPACK[encoding](b"".join(pieces)) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_an_answer_in_pieces_is_compressed(encoding):
    async def parts():
        for first in range(0, len(BODY), 777):
            yield BODY[first : first + 777]

    headers, pieces = asked(StreamingResponse(parts()), encoding)
    assert headers["content-encoding"] == encoding
    assert UNPACK[encoding](b"".join(pieces)) == BODY


@pytest.mark.parametrize(
    ("response", "method"),
    [
        (Response(b"[]", media_type="application/json"), "GET"),
        (Response(b"x" * (compression.LEAST - 1)), "GET"),
        (Response(status_code=204), "GET"),
        (Response(BODY), "HEAD"),
        (Response(BODY, headers={"Content-Encoding": "br"}), "GET"),
        (Response(BODY, media_type="text/event-stream"), "GET"),
    ],
)
def test_what_stays_as_it_is(response, method):
    headers, pieces = asked(response, method=method)
    assert headers.get("content-encoding") in (None, "br")
    assert b"".join(pieces) == response.body
    assert headers.get("content-length", str(len(response.body))) == str(len(response.body))


def test_beyond_the_bound_answers_go_out_as_they_are(monkeypatch):
    monkeypatch.setattr(compression, "MOST_AT_ONCE", 0)
    headers, pieces = asked(Response(BODY))
    assert "content-encoding" not in headers
    assert b"".join(pieces) == BODY


def test_an_answer_of_120_kb_takes_at_most_8():
    """Ports of switches, as dashboards ask for them."""
    client = Client()
    switches = range(10)
    for switch in switches:
        client.feed(*(counter_sample(port, in_octets=port * 12345) for port in range(1, 49)), agent=f"10.0.0.{switch}")
    client.now += 20
    for switch in switches:
        samples = (counter_sample(port, in_octets=port * 98765 + switch, sequence=2) for port in range(1, 49))
        client.feed(*samples, agent=f"10.0.0.{switch}")
    path = "/dump/ALL/ifinoctets,ifspeed/json"
    plain = client.request("GET", path, headers={"Accept-Encoding": "identity"})
    packed = client.request("GET", path, headers={"Accept-Encoding": "gzip"})
    assert len(plain.content) >= 100_000
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert packed.num_bytes_downloaded <= 8000 * len(plain.content) / 120_000
