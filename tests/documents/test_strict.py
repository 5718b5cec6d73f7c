"""The strict reader: what a document becomes, and the one line that each mistake earns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.strict import DocumentError, read


@dataclass(frozen=True)
class Sampling:
    rate: int = 64
    seconds: float = 1.0
    agent: str = "lo"


class Threshold(msgspec.Struct, frozen=True, rename={"limit": "value"}):
    limit: float
    on: bool = True


@dataclass(frozen=True)
class Config:
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8008
    sampling: Sampling = Sampling()
    per_switch: dict[str, Sampling] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    names: list[str] = field(default_factory=list)
    backup: Sampling | str | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.port == 6343:
            raise ValueError("port 6343 belongs to sFlow")


def complaint(text: str, cls: Any = Config, **options: Any) -> str:
    with pytest.raises(DocumentError) as caught:
        read(text, cls, name="c.yaml", **options)
    return str(caught.value)


def test_nested_values_arrive_typed() -> None:
    text = """
    port: 9000
    sampling: {rate: 16, seconds: 2}
    per_switch:
      leaf1: {agent: 10.254.0.1}
      leaf2:
    thresholds:
    - {value: 1e6, on: false}
    names: [a, b]
    backup:
      rate: 8
    rest: {x: [1, null]}
    """
    assert read(text, Config) == Config(
        port=9000,
        sampling=Sampling(16, 2.0),
        per_switch={"leaf1": Sampling(agent="10.254.0.1"), "leaf2": Sampling()},
        thresholds=(Threshold(1e6, False),),
        names=["a", "b"],
        backup=Sampling(8),
        rest={"x": [1, None]},
    )


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "{}", "null", "sampling:\n", "per_switch:\nbackup:\n"])
def test_what_is_left_out_takes_the_defaults(text: str) -> None:
    assert read(text, Config) == Config()


@pytest.mark.parametrize("text", ["", "analytics:", "controller:\n  whatever: 1"])
def test_an_absent_section_takes_the_defaults(text: str) -> None:
    assert read(text, Config, section="analytics") == Config()


def test_a_section_is_read_apart_from_the_others() -> None:
    text = "controller: {unknown: 1}\nanalytics:\n  port: 9\n"
    assert read(text, Config, section="analytics").port == 9


def test_text_that_looks_like_numbers_and_dates_stays_text() -> None:
    text = "mac: 10:04:00:00:01:01\ndpid: 0000000000000001\nday: 2026-01-02\nanswer: no\nhex: 0x10\nbig: 1_000"
    assert read(text, dict) == {
        "mac": "10:04:00:00:01:01",
        "dpid": "0000000000000001",
        "day": "2026-01-02",
        "answer": "no",
        "hex": 16,
        "big": "1_000",
    }


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("port: 1\nprt: 2", "c.yaml:2: unknown key 'prt'; did you mean 'port'?"),
        ("sampling:\n  rat: 2", "c.yaml:2: unknown key 'rat' in 'sampling'; did you mean 'rate'?"),
        (
            "per_switch:\n  l1:\n    x: 2",
            "c.yaml:3: unknown key 'x' in 'per_switch.l1'; known are: agent, rate, seconds",
        ),
        ("backup:\n  rat: 1", "c.yaml:2: unknown key 'rat' in 'backup'; did you mean 'rate'?"),
        (
            "thresholds:\n- value: 1\n  valeu: 2",
            "c.yaml:3: unknown key 'valeu' in 'thresholds[0]'; did you mean 'value'?",
        ),
        ("thresholds:\n- on: true", "c.yaml:2: 'value' is missing in 'thresholds[0]'"),
        ("thresholds:\n- {value: 1}\n- {value: x}", "c.yaml:3: 'thresholds[1].value': expected a number, got 'x'"),
        ("thresholds:\n- {value: 1, on: no}", "c.yaml:2: 'thresholds[0].on': expected true or false, got 'no'"),
        ("port: '1'", "c.yaml:1: 'port': expected a whole number, got '1'"),
        ("port: 0", "c.yaml:1: 'port': expected int >= 1, got 0"),
        ("sampling: {agent: 12}", "c.yaml:1: 'sampling.agent': expected text, got 12 (put it in quotes)"),
        ("names: [a,\n 3]", "c.yaml:2: 'names[1]': expected text, got 3 (put it in quotes)"),
        ("names: a", "c.yaml:1: 'names': expected a list, got 'a'"),
        ("sampling: [1]", "c.yaml:1: 'sampling': expected a mapping, got a list"),
        ("- 1", "c.yaml:1: expected a mapping, got a list"),
        ("port: 6343", "c.yaml:1: port 6343 belongs to sFlow"),
        ("port: 1\nport: 2", "c.yaml:2: key 'port' is given twice"),
        ("rest:\n  a: 1\n  a: 2", "c.yaml:3: key 'a' in 'rest' is given twice"),
        ("[a]: 1", "c.yaml:1: a key must be plain text, got a list"),
        ("sampling: &s {rate: 1}\nbackup: *s", "c.yaml:1: aliases (*name) are not supported"),
        ("rest: &s {x: *s}", "c.yaml:1: aliases (*name) are not supported"),
        ("port: !!python/name:os.system x", "c.yaml:1: tag !!python/name:os.system is not supported"),
        ("port: !!int x", "c.yaml:1: x is not a usable int"),
        ("rest: {x: 1e999}", "c.yaml:1: 1e999 is not a usable float"),
        ("names:\n\t- a", "c.yaml:2: found character '\\t' that cannot start any token"),
        ("port: 1\n--- \nport: 2", "c.yaml:2: but found another document"),
        ('"\\ud800": 1', "c.yaml:1: '\\ud800' is not a usable str"),
        ("port: 1\nname: \x07", "c.yaml:2: character 7 is not allowed"),
        ("[" * 10_000, "c.yaml: nested too deeply"),
    ],
)
def test_a_mistake_earns_one_line(text: str, what: str) -> None:
    assert complaint(text) == what


def test_the_sections_of_a_configuration_file_are_known() -> None:
    assert complaint("analytic:\n  port: 1", section="analytics").endswith("did you mean 'analytics'?")
    assert complaint("[1]", section="analytics") == ("c.yaml:1: expected sections (analytics, controller), got a list")
    assert complaint("analytics:\n  smapling: 1", section="analytics") == (
        "c.yaml:2: unknown key 'smapling' in 'analytics'; did you mean 'sampling'?"
    )


def test_files_are_named_as_given(tmp_path: Path) -> None:
    good, binary = tmp_path / "good.yaml", tmp_path / "binary.yaml"
    good.write_text('{"port": 70}')
    binary.write_bytes(b"port: \xff")
    assert read(good, Config).port == 70
    for path, what in [
        (binary, f"{binary}: is not UTF-8 text (byte 6)"),
        (tmp_path / "none", f"{tmp_path / 'none'}: cannot be read: No such file or directory"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
    ]:
        with pytest.raises(DocumentError) as caught:
            read(path, Config)
        assert str(caught.value) == what


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=9), JSON_VALUES, max_size=5))
def test_json_is_read_as_json(document: dict[str, Any]) -> None:
    text = json.dumps(document).replace("\x7f", "\\u007f")  # the one character that JSON may hold raw and YAML may not
    assert read(text, dict) == document


@given(st.dictionaries(st.sampled_from([*Config.__dataclass_fields__, "x"]), JSON_VALUES, max_size=4) | JSON_VALUES)
def test_any_document_is_a_config_or_one_line(document: Any) -> None:
    try:
        assert isinstance(read(json.dumps(document), Config, name="c.yaml"), Config)
    except DocumentError as fault:
        assert str(fault).startswith("c.yaml:1: ")
        assert "\n" not in str(fault)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>#'\"%@`\\,?. \n\t01\x00\ufeff\U0001f418")) | st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read(text, dict, name="c.yaml")
    except DocumentError as fault:
        assert str(fault).startswith("c.yaml:")
        assert "\n" not in str(fault)
