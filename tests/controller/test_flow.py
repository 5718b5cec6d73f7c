"""Flow keys as text and as numbers in cookies."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.flow import FlowKey, FlowObservation, in_turns

KEY = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)


@given(st.text())
def test_a_flow_key_reads_only_from_five_fields(text):
    try:
        flow = FlowKey.parse(text)
    except ValueError:
        return
    assert FlowKey.parse(str(flow)) == flow


def test_a_flow_key_reads_back_from_its_text():
    assert str(KEY) == "10.0.1.1,10.0.2.1,6,5001,80"
    assert FlowKey.parse(str(KEY)) == KEY


@pytest.mark.parametrize(
    "text",
    ["", "10.0.1.1,10.0.2.1,6,5001", "10.0.1.1,10.0.2.1,6,5001,80,1", "10.0.1.1,10.0.2.1,6,5001,x",
     "10.0.1.1,10.0.2,6,5001,80", "10.0.1.1,fe80::1,6,5001,80", "10.0.1.1,10.0.2.1,256,5001,80",
     "10.0.1.1,10.0.2.1,6,65536,80", "10.0.1.1,10.0.2.1,6,5001,-1"],
)  # fmt: skip
def test_what_is_no_5_tuple_is_refused(text):
    with pytest.raises(ValueError):
        FlowKey.parse(text)


def test_the_number_in_cookies_is_the_same_in_every_release():
    """A rule found on a switch is adopted by it: CRC-32 of the text."""
    assert KEY.number == 0x971AE922


OBSERVATIONS = st.builds(
    FlowObservation,
    st.builds(KEY._replace, source_port=st.integers(0, 9)),
    agent=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    ifindex=st.just("1"),
    rate=st.floats(0, 1e9),
    at=st.floats(0, 10),
)


@given(st.lists(OBSERVATIONS), st.integers(1, 5))
def test_observations_in_turns_largest_flows_first_each_flow_in_one_piece_and_in_order(seen, flows):
    turns = list(in_turns(seen, flows))
    taken = [each for turn in turns for each in turn]
    for flow in {each.flow for each in seen}:
        assert [each for each in taken if each.flow == flow] == [each for each in seen if each.flow == flow]
        assert sum(flow in {each.flow for each in turn} for turn in turns) == 1
    assert len(taken) == len(seen)
    assert all(1 <= len({each.flow for each in turn}) <= flows for turn in turns)
    largest = [[max(each.rate for each in taken if each.flow == flow) for flow in {e.flow for e in t}] for t in turns]
    assert all(min(one) >= max(following) for one, following in itertools.pairwise(largest))
