"""ARP read, probes written and read, whatever the bytes."""

from hypothesis import given
from hypothesis import strategies as st

from controller import frames
from tests.controller.arp import frame as arp_frame
from tests.controller.arp import request

MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
ADDRESSES = st.ip_addresses(v=4).map(str)


@given(st.sampled_from([1, 2]), MACS, ADDRESSES, MACS, ADDRESSES, MACS)
def test_the_sender_of_arp_is_read(operation, sender_mac, sender_ip, target_mac, target_ip, destination):
    frame = arp_frame(destination, operation, sender_mac, sender_ip, target_mac, target_ip)
    assert frames.read_arp_sender(frame) == (sender_mac, sender_ip)
    assert all(frames.read_arp_sender(frame[:cut]) is None for cut in range(len(frame)))


def test_arp_on_the_wire():
    """RFC 826: an Ethernet/IPv4 request, byte by byte."""
    frame = request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.1")
    assert frame.hex() == (
        "ffffffffffff000400000101" "0806" "0001080006040001" "0004000001010a000101" "0000000000000a000201"
    )  # fmt: skip


@given(st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFF00))
def test_a_probe_reads_back_and_no_truncation_reads_as_another(dpid, number):
    frame = frames.write_probe(dpid, number)
    assert len(frame) >= 60
    assert frames.read_probe(frame) == (dpid, number)
    for cut in range(len(frame)):
        assert frames.read_probe(frame[:cut]) in (None, (dpid, number))


@given(st.binary(max_size=120))
def test_noise_is_neither_arp_nor_probe_of_ours(noise):
    assert frames.read_probe(noise) is None
    assert frames.read_arp_sender(noise) is None or frames.ethertype(noise) == 0x0806
