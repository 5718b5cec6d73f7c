"""counters: counter samples in, metrics out; wraps, restarts and unknown markers."""

from __future__ import annotations

import struct

import pytest

from analytics.counters import Counters
from tests.analytics.wire import UNKNOWN_COUNTER, if_counters, opaque, record, words

PLACE = ("10.0.0.1", "5")


def values(counters: Counters, now: float, place: tuple[str, str] = PLACE) -> dict[str, object]:
    return {name: value for name, (value, _) in counters.metrics(*place, now).items()}


def update(
    counters: Counters, now: float, *records: bytes, sequence: int | None = None, uptime: int | None = None
) -> int:
    """A counter sample whose sequence and uptime follow the time, unless given."""
    sequence = int(now) if sequence is None else sequence
    uptime = int(now * 1000) if uptime is None else uptime
    return counters.update(*PLACE, sequence, uptime, len(records), b"".join(records), now)


def test_the_first_sample_gives_no_rates():
    counters = Counters()
    update(counters, 1000, if_counters(5, 10**9, (1000, 2000), (10, 20)))
    assert values(counters, 1000) == {
        "ifindex": 5,
        "iftype": "ethernetCsmacd",
        "ifspeed": 10**9,
        "ifdirection": "full-duplex",
        "ifadminstatus": "up",
        "ifoperstatus": "up",
    }


def test_rates_and_utilization():
    counters = Counters()
    update(counters, 1000, if_counters(speed=10**7, octets=(1000, 2000), packets=(10, 20)))
    update(counters, 1010, if_counters(speed=10**7, octets=(1_251_000, 627_000), packets=(110, 70), status=1))
    found = values(counters, 1010)
    assert (found["ifinoctets"], found["ifoutoctets"]) == (125_000, 62_500)
    assert (found["ifinutilization"], found["ifoututilization"]) == (10, 5)
    assert (found["ifinucastpkts"], found["ifinpkts"], found["ifoutpkts"]) == (10, 10, 5)
    assert (found["ifadminstatus"], found["ifoperstatus"]) == ("up", "down")
    assert "ifinmulticastpkts" not in found
    assert "ifinunknownprotos" not in found


def test_the_speed_of_the_topology_wins():
    counters = Counters(lambda agent, source: 5_000_000 if (agent, source) == PLACE else None)
    assert values(counters, 1000) == {"ifspeed": 5_000_000}
    update(counters, 1000, if_counters(speed=1_410_065_408))
    update(counters, 1001, if_counters(speed=1_410_065_408, octets=(62_500, 0)))
    found = values(counters, 1001)
    assert (found["ifspeed"], found["ifinutilization"]) == (5_000_000, 10)
    assert counters.value(*PLACE, "ifspeed", 1001) == (5_000_000, 1001)


def test_a_speed_of_zero_is_unknown():
    counters = Counters()
    update(counters, 1000, if_counters(speed=0))
    update(counters, 1001, if_counters(speed=0, octets=(100, 0)))
    assert {"ifspeed", "ifinutilization"} & set(values(counters, 1001)) == set()


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        (2**32 - 1000, 500, 150.0),  # a 32-bit counter in the 64-bit field wrapped
        (2**40, 5, None),  # set back
        (3_000_000_000, 2_900_000_000, None),  # a wrap would be most of the range: set back
        (2**64 - 1, 5, None),
        (5, 2**64 - 1, None),
        (7, 7, 0.0),
        (2**33, 2**33 + 1500, 150.0),
    ],
)
def test_octets(before, after, rate):
    counters = Counters()
    update(counters, 1000, if_counters(octets=(before, 0)))
    update(counters, 1010, if_counters(octets=(after, 0)))
    assert values(counters, 1010).get("ifinoctets") == rate


@pytest.mark.parametrize(
    ("before", "after", "rate"), [(2**32 - 11, 89, 10.0), (UNKNOWN_COUNTER, 5, None), (5, UNKNOWN_COUNTER, None)]
)
def test_packets(before, after, rate):
    counters = Counters()
    update(counters, 1000, if_counters(packets=(before, 0)))
    update(counters, 1010, if_counters(packets=(after, 0)))
    assert values(counters, 1010).get("ifinucastpkts") == rate


@pytest.mark.parametrize("life", [{"sequence": 1}, {"uptime": 500}])
def test_a_restart_begins_anew(life):
    counters = Counters()
    update(counters, 1000, if_counters(octets=(1000, 0)))
    update(counters, 1010, if_counters(octets=(5000, 0)), **life)
    assert "ifinoctets" not in values(counters, 1010)
    update(counters, 1020, if_counters(octets=(6000, 0)))
    assert values(counters, 1020)["ifinoctets"] == 100


def test_the_other_structures_of_open_vswitch():
    counters = Counters()
    names = (record(1004, struct.pack(">QI", 0x101, 3)), record(1005, opaque(b"leaf1-eth3")))
    update(counters, 1000, *names, record(2, words(*[0] * 13)), record(2207, words(100, 10, 0, 0, 7, 2)))
    update(
        counters,
        1010,
        *names,
        record(2, words(5, 50, *[UNKNOWN_COUNTER] * 11)),
        record(2207, words(300, 20, 0, 0, 9, UNKNOWN_COUNTER)),
    )
    assert values(counters, 1010) == {
        "of_dpid": "0000000000000101",
        "of_port": 3,
        "ifname": "leaf1-eth3",
        "eth_alignmenterrors": 0.5,
        "eth_fcserrors": 5.0,
        "ovs_dp_hitrate": 20.0,
        "ovs_dp_missrate": 1.0,
        "ovs_dp_lostrate": 0.0,
        "ovs_dp_maskhitrate": 0.0,
        "ovs_dp_flows": 9,
        "ovs_dp_masks": 2,
    }


def test_two_samples_at_one_time_make_no_rate():
    counters = Counters()
    update(counters, 1000, if_counters(octets=(1000, 0)))
    update(counters, 1000, if_counters(octets=(2000, 0)))
    assert "ifinoctets" not in values(counters, 1000)


def test_a_stale_metric_disappears():
    counters = Counters()
    update(counters, 1000, if_counters())
    update(counters, 1010, if_counters(octets=(10, 0)))
    assert counters.value(*PLACE, "ifinoctets", 1044) == (1.0, 1010)
    assert counters.value(*PLACE, "ifinoctets", 1046) is None
    assert values(counters, 1046) == {}
    counters.expire(1046)
    assert counters.sources() == []


def test_a_short_record_is_a_fault_and_what_it_has_counts():
    counters = Counters()
    assert update(counters, 1000, record(1, words(5, 6))) == 1
    assert values(counters, 1000)["ifindex"] == 5


def test_nothing_readable_makes_no_source():
    counters = Counters()
    assert update(counters, 1000, record(9999, b"abcd")) == 0
    assert counters.sources() == []
