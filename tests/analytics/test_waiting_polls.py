"""A thousand waiting long polls: they cost nothing while they wait, one event answers all; bad clients harm nobody."""

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from tests.analytics.program import AGENT
from tests.patience import PATIENCE_S

POLLS = 1000
BROKEN = 20  # of each kind
WATCHED_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


def used_s(pid):
    """Processor seconds (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def asking(port, path="/events/json?thresholdID=t&timeout=600&eventID=-1", *, whole=True):
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode() + b"\r\n" * whole)
    return stream


def answers(streams):
    """What was said to each until it was closed."""
    said = {stream: b"" for stream in streams}
    open_ones = select.poll()
    by_number = {stream.fileno(): stream for stream in streams}
    for number in by_number:
        open_ones.register(number, select.POLLIN)
    left, deadline = len(said), time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        for number, _ in open_ones.poll(1000):
            if piece := by_number[number].recv(1 << 16):
                said[by_number[number]] += piece
            else:
                open_ones.unregister(number)
                left -= 1
    return list(said.values())


def test_a_thousand_waiting_polls_cost_nothing_and_one_event_answers_them_all(start, eventually):
    program = start()
    program.watch_frames()
    with contextlib.ExitStack() as closing:
        polls = [closing.enter_context(asking(program.port)) for _ in range(POLLS)]
        eventually(lambda: program.asked_by_others() >= POLLS)
        before, began = used_s(program.process.pid), time.monotonic()
        time.sleep(WATCHED_S)  # what is measured is that nothing happens
        used = used_s(program.process.pid) - before
        assert used < 0.3 * (time.monotonic() - began), "a busy loop takes all of a processor"
        program.send()
        said = answers(polls)
    assert len(said) == POLLS
    assert all(one.startswith(b"HTTP/1.1 200 ") and AGENT.encode() in one for one in said)
    assert len({one.partition(b"\r\n\r\n")[2] for one in said}) == 1


def test_slow_and_broken_clients_harm_nobody(start, eventually):
    """Some left while they waited, with a reset; some never read; some never end their head; one poll is answered."""
    program = start()
    program.watch_frames()
    with contextlib.ExitStack() as closing:
        for _ in range(BROKEN):
            closing.enter_context(asking(program.port, whole=False))
            closing.enter_context(asking(program.port))  # never reads
            gone = asking(program.port)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
        poll = closing.enter_context(asking(program.port))
        eventually(lambda: program.asked_by_others() >= BROKEN + 1)
        program.send()
        [said] = answers([poll])
        assert AGENT.encode() in said
        assert program.http.get("/analyzer/json").json()["faults"] == {}
    assert program.end() == (0, "")
