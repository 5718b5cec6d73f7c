"""The terminal commands against a northbound interface that answers what a controller would."""

import json

import pytest
import typer

from controller import cli
from tests.controller.answering import Answering

STATUS = {
    "switches": {"known": 4, "connected": ["leaf1", "leaf2", "spine1"]},
    "analytics": {"url": "http://127.0.0.1:8008", "alive": False, "starts": 1},
    "counts": {"moves": 7},
    "faults": {"event poll": 2, "tick": 1},
}
ELEPHANT = {
    "flow": "10.0.1.1,10.0.2.1,6,5001,80", "port": "leaf1-eth1", "rate": 4.2e6, "state": "steered", "moves": 1,
    "path": ["leaf1", "spine1", "leaf2"], "wanted_path": ["leaf1", "spine2", "leaf2"], "reason": "full",
}  # fmt: skip
LINK = {
    "from": "leaf1", "to": "spine1", "load_bps": 4.5e6, "utilisation": 0.9, "elephants": ["a", "b"], "up": True,
    "state": "collision",
}  # fmt: skip


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answers = {"status": STATUS, "elephants": [ELEPHANT], "links": [LINK]}
    with Answering({f"/v1/{name}": json.dumps(body).encode() for name, body in answers.items()}) as server:
        yield server.base


def test_top_prints_one_overview_where_the_output_is_no_terminal(url, capsys):
    cli.top(url)
    text = " ".join(capsys.readouterr().out.split())
    assert "3 of 4 switches, analytics does not answer (http://127.0.0.1:8008), 7 moves, 3 faults" in text
    assert "10.0.1.1:5001 > 10.0.2.1:80 tcp" in text
    assert "leaf1 spine2 leaf2" in text
    assert "90%" in text
    assert "collision" in text


def test_json_is_what_the_controller_answers(url, capsys):
    cli.elephants(url, as_json=True)
    assert json.loads(capsys.readouterr().out) == [ELEPHANT]
    cli.top(url, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"status": STATUS, "elephants": [ELEPHANT], "links": [LINK]}


@pytest.mark.parametrize("answer, reason", [(None, "connection refused"), ((500, b"x"), "500"), (b"no json", "")])
def test_no_answer_ends_the_program_with_one_line(answer, reason, capsys):
    with Answering({"/v1/links": answer}) as server, pytest.raises(typer.Exit) as caught:
        cli.links(server.base)
    assert caught.value.exit_code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"howdah: no answer from the controller at {server.base}/v1/links: ")
    assert reason in line


def test_the_token_comes_from_the_environment(monkeypatch, capsys):
    with Answering({"/v1/links": b"[]"}) as server:
        monkeypatch.setenv("HOWDAH_TOKEN", "s3cret")
        cli.links(server.base, as_json=True)
        assert server.authorizations == {"Bearer s3cret"}
        server.answers["/v1/links"] = (401, b"no")
        with pytest.raises(typer.Exit):
            cli.links(server.base)
    assert "HOWDAH_TOKEN" in capsys.readouterr().err


def test_a_name_is_neither_markup_nor_an_escape_sequence(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    names = "[/bold]\x1b[2J\u202e", "[red]\nspine1"
    link = {**LINK, "from": names[0], "to": names[1], "state": "[/]"}
    elephant = {**ELEPHANT, "port": names[0], "reason": names[1], "flow": names[0]}
    answers = {"status": STATUS, "elephants": [elephant], "links": [link]}
    with Answering({f"/v1/{name}": json.dumps(body).encode() for name, body in answers.items()}) as server:
        cli.top(server.base)
        cli.links(server.base)
        cli.elephants(server.base)
    text = capsys.readouterr().out
    assert text.count("[/bold]\\x1b[2J\\u202e") == 6
    assert "[red]" in text
    assert "\x1b" not in text and "\u202e" not in text


def test_an_endless_answer_is_given_up(monkeypatch, capsys):
    monkeypatch.setattr(cli, "MAX_ANSWER", 1 << 20)
    with Answering({"/v1/links": b" " * (3 << 20)}) as server, pytest.raises(typer.Exit):
        cli.links(server.base)
    (line,) = capsys.readouterr().err.splitlines()
    assert "it goes on after 1 MiB" in line
