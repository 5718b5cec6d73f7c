"""Flow keys as text and as numbers in cookies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.flow import FlowKey

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
