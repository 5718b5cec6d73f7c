"""analytics.api.relaxed_json: what curl recipes send, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.api.relaxed_json import MAX_RELAXED, NotJson, decode


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("{keys:'ipsource,ipdestination',value:'bytes'}", {"keys": "ipsource,ipdestination", "value": "bytes"}),
        ("{external:['0.0.0.0/0']}", {"external": ["0.0.0.0/0"]}),
        ("{metric:'incoming',value:1000}", {"metric": "incoming", "value": 1000}),
        ("{value:'bytes',filter:'ipsource=10.0.0.1'}", {"value": "bytes", "filter": "ipsource=10.0.0.1"}),
        ("{ metric : tcp, value : -1.5e3, b : true, x:null }", {"metric": "tcp", "value": -1500, "b": True, "x": None}),
        ('{"keys":["a","b"],"filter":"a=\'b\'"}', {"keys": ["a", "b"], "filter": "a='b'"}),
        ("""{filter:'a="x,y"'}""", {"filter": 'a="x,y"'}),
        (r"""{filter:'it\'s', fs:'\u0041\\'}""", {"filter": "it's", "fs": "A\\"}),
        ("{'os_name':['linux'],host_name:['web*']}", {"os_name": ["linux"], "host_name": ["web*"]}),
        ("\ufeff{}", {}),
    ],
)  # fmt: skip
def test_bodies(body, value):
    assert decode(body.encode()) == value


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "body is empty; a JSON object is expected"),
        (b"  \n", "body is empty; a JSON object is expected"),
        (b"\xff\xfe", "body is not UTF-8: byte 0xff at offset 0"),
        (b"{keys:'ipsource,value:1}", "body is not JSON: unexpected ''ipsource,value:1}' at offset 6"),
        (b"{value:=1}", "body is not JSON: unexpected '=1}' at offset 7"),
        (b"{value:10Mb}", "body is not JSON: unexpected '10Mb}' at offset 7"),
        (b"[" * 100_000, "body is nested too deeply"),
    ],
)
def test_refusals_quote_what_is_in_the_way(body, complaint):
    with pytest.raises(NotJson) as refused:
        decode(body)
    assert str(refused.value) == complaint


def test_an_unfinished_object_is_refused():
    with pytest.raises(NotJson, match=r"body is not JSON: '\{keys:'"):
        decode(b"{keys:")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_strict_json_is_read_as_json(value):
    assert decode(json.dumps(value).encode()) == value


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda w: w not in ("true", "false", "null")), st.text()
    )
)
def test_relaxed_and_strict_forms_say_the_same(members):
    quoted = (json.dumps(value)[1:-1].replace('\\"', '"').replace("'", "\\'") for value in members.values())
    relaxed = "{" + ",".join(f"{name}:'{value}'" for name, value in zip(members, quoted, strict=True)) + "}"
    assert decode(relaxed.encode()) == members


@given(st.binary(max_size=40) | st.text("{}[]:,'\"\\ab1-. \n", max_size=30).map(str.encode))
def test_any_body_is_read_or_refused_in_one_line(body):
    try:
        decode(body)
    except NotJson as refused:
        assert "\n" not in str(refused)


def test_only_short_bodies_are_relaxed():
    """Rewriting costs a hundred times what strict JSON does: 16 MB of it took ten seconds."""
    spaces = " " * MAX_RELAXED
    assert decode(b'{"a":1' + spaces.encode() + b"}") == {"a": 1}
    with pytest.raises(NotJson, match=f"relaxed JSON has at most {MAX_RELAXED} bytes"):
        decode(b"{a:1" + spaces.encode() + b"}")


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "1.5e300", "'11111111111111111111'"]
)
def test_numbers_that_fit_are_taken(number):
    assert decode(f"{{a:[{number}]}}".encode())["a"]


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1" * 400])
def test_numbers_that_do_not_fit_are_refused_by_the_name_of_their_attribute(number):
    with pytest.raises(NotJson, match=rf"^'a': the number {number[:30]}\.\.\. does not fit 64 bits$"):
        decode(f"{{b:{{a:[1,{number}]}}}}".encode())
