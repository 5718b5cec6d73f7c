"""The compiler of replication specs: the known text, and for any spec what every receiver gets.

`deliver` below is a second, tiny switch: it runs an action list over one datagram and says what came out where. Its
packets hold the name of the one that wrote a field, so that "the sender's source" differs from any address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.strict import DocumentError
from ovs_rules.replication import Collector, Copy, Spec, read, receivers, rules
from ovs_rules.rule import Output, Rule, SetField, text

HEAD = "udp_port: 6343\ningress: 1\ncollector: {address: 10.0.0.1}\ncopies:\n"
COLLECTOR_MAC = "00:04:00:00:00:01"


def test_the_known_spec_gives_the_known_text():
    (rule,) = rules(read(HEAD + "- port: 7343\n- host: 10.0.0.2\n"))
    assert text(rule) == (
        "in_port=1 dl_type=0x0800 nw_proto=17 tp_dst=6343 "
        "actions=LOCAL,mod_tp_dst:7343,normal,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,normal"
    )


@pytest.mark.parametrize(
    ("copies", "actions"),
    [
        (
            "- host: 10.0.0.2\n- port: 7343",
            "LOCAL,mod_tp_dst:7343,normal,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,normal",
        ),
        ("- host: 10.0.0.2", "LOCAL,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,normal"),
        (
            "- {host: 10.0.0.2, port: 6343}\n- port: 7343",
            "LOCAL,mod_tp_dst:7343,normal,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,mod_tp_dst:6343,normal",
        ),
        (
            "- host: 10.0.0.2\n- {host: 10.0.0.3, source: keep}",
            "LOCAL,mod_nw_dst:10.0.0.3,normal,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,normal",
        ),
        (
            "- {host: 10.0.0.2, mac: '00:04:00:00:00:0A', source: keep}",
            "LOCAL,mod_nw_dst:10.0.0.2,mod_dl_dst:00:04:00:00:00:0a,normal",
        ),
    ],
)
def test_copies_are_ordered_so_that_rewrites_may_accumulate(copies, actions):
    (rule,) = rules(read(HEAD + copies))
    assert text(rule).partition("actions=")[2] == actions


def test_without_ingress_only_the_collectors_datagrams_match():
    (rule,) = rules(Spec(514, Collector("10.0.0.1", port=3), (Copy(port=5514),)))
    assert (
        text(rule) == "dl_type=0x0800 nw_proto=17 nw_dst=10.0.0.1 tp_dst=514 actions=output:3,mod_tp_dst:5514,output:3"
    )


def test_every_receiver_is_described():
    assert receivers(read(HEAD + "- port: 7343\n- host: 10.0.0.2\n")) == (
        "10.0.0.1:6343 (this switch's host) receives the original",
        "10.0.0.1:7343 receives a copy with the sender's source",
        "10.0.0.2:7343 receives a copy with source 10.0.0.1, routed by the collector's host",
    )


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (HEAD + "- port: 6343", "1: copy to port:6343 would loop: that is where the original goes"),
        (HEAD + "- host: 10.0.0.1\n  port: 7", "1: copy to 10.0.0.1:7 would loop: that is the collector"),
        (HEAD + "- port: 7\n- port: 7", "1: copy to port:7: the collector gets port 7 twice"),
        (HEAD + "- port: 7\n- host: 10.0.0.2\n- {host: 10.0.0.2, port: 7}", "10.0.0.2 gets port 7 twice"),
        (HEAD + "- host: 10.0.0.256", "5: 'copies[0]': '10.0.0.256' is not an IPv4 address"),
        (HEAD + "- host: fe80::1", "5: 'copies[0]': 'fe80::1' is not an IPv4 address"),
        (HEAD + "- host: 224.0.0.1", "5: 'copies[0]': '224.0.0.1' is not the address of one host"),
        (HEAD + "- host: 10.0.0.2\n  mac: 0:4", "5: 'copies[0]': '0:4' is not a MAC address"),
        (HEAD + "- host: 10.0.0.2\n  mac: ff:ff:ff:ff:ff:ff", "is a group's MAC address"),
        (HEAD + "- port: 65536", "5: 'copies[0].port': expected int <= 65535, got 65536"),
        (HEAD + "- port: 0", "5: 'copies[0].port': expected int >= 1, got 0"),
        (HEAD + "- {}", "5: 'copies[0]': a copy needs a 'port' (on the collector), a 'host', or both"),
        (HEAD + "- {port: 7, source: keep}", "5: 'copies[0]': copy to port:7: 'mac', 'source' and 'out' belong"),
        (HEAD + "- {host: 10.0.0.2, source: spoof}", "5: 'copies[0].source': "),
        (HEAD + "- {host: 10.0.0.2, out: 3}", "names its port 'out', so it needs the host's 'mac' too"),
        (HEAD + "- {hots: 10.0.0.2}", "5: unknown key 'hots' in 'copies[0]'; did you mean 'host'?"),
        (HEAD + "- {host: 10.0.0.2, mac: 00:04:00:00:00:02, out: 1}", "so the collector needs its 'mac'"),
        (
            HEAD + "- {host: 10.0.0.2, mac: 00:04:00:00:00:02, source: keep}\n- host: 10.0.0.3",
            "copy to 10.0.0.3 cannot be made: it needs the collector's MAC",
        ),
        ("udp_port: 7\ncollector: {address: 10.0.0.1}\ncopies: []", "1: 'copies' is empty"),
        ("udp_port: 7\ncollector: {address: 10.0.0.1}", "1: 'copies' is missing"),
        ("udp_port: 7\ningress: [2, 2]\ncollector: {address: 10.0.0.1}\ncopies: [port: 8]", "names a port twice"),
        (
            "udp_port: 7\ningress: 2\ncollector: {address: 10.0.0.1, port: 2}\ncopies: [port: 8]",
            "'ingress' 2 would loop",
        ),
        ("udp_port: 7\ningress: LOCAL\ncollector: {address: 10.0.0.1}\ncopies: [port: 8]", "2: 'ingress': expected "),
        ("udp_port: 7\ncollector: 10.0.0.1\ncopies: [port: 8]", "2: 'collector': expected a mapping, got '10.0.0.1'"),
    ],
)
def test_a_mistake_earns_one_line(spec, what):
    with pytest.raises(DocumentError) as caught:
        read(spec)
    assert what in str(caught.value)
    assert str(caught.value).startswith("<text>:")
    assert "\n" not in str(caught.value)


def test_back_and_forth_is_refused_where_the_source_is_lost():
    back = Copy(host="10.0.0.2", mac="00:04:00:00:00:02", source="keep", out="IN_PORT")
    with pytest.raises(ValueError, match=r"10.0.0.2 cannot be made: it keeps the sender's address, but would follow"):
        Spec(7, Collector("10.0.0.1", mac=COLLECTOR_MAC), (back, Copy(host="10.0.0.3")), ingress=1)


@dataclass(frozen=True)
class Packet:
    """One datagram's header; `sender` stands for what the sender wrote there."""

    udp_dst: int
    ipv4_dst: str
    ipv4_src: str = "sender"
    eth_src: str = "sender"
    eth_dst: str = COLLECTOR_MAC


def deliver(rule: Rule, packet: Packet) -> list[tuple[object, Packet]]:
    """What leaves the switch: (port, the packet as it then stood), in order."""
    out = []
    for action in rule.actions:
        if isinstance(action, SetField):
            packet = replace(packet, **{action.field: action.value})
        else:
            assert isinstance(action, Output)
            out.append((action.port, packet))
    return out


HOSTS = [f"10.0.0.{n}" for n in range(2, 7)]
COPIES = st.one_of(
    st.builds(Copy, port=st.integers(1, 9)),
    st.builds(
        Copy,
        host=st.sampled_from(HOSTS),
        port=st.none() | st.integers(1, 9),
        source=st.sampled_from(["keep", "rewrite"]),
    ),
    st.builds(
        Copy,
        host=st.sampled_from(HOSTS),
        port=st.none() | st.integers(1, 9),
        mac=st.sampled_from(["00:04:00:00:00:02", "00:04:00:00:00:03"]),
        source=st.sampled_from(["keep", "rewrite"]),
        out=st.sampled_from(["NORMAL", "IN_PORT", 1, 2, 3]),
    ),
)


@st.composite
def specs(draw: st.DrawFn) -> Spec | None:
    """A spec, or None where the drawn parts are refused."""
    try:
        return Spec(
            udp_port=draw(st.integers(1, 9)),
            collector=Collector(
                "10.0.0.1", draw(st.sampled_from(["LOCAL", 9])), draw(st.none() | st.just(COLLECTOR_MAC))
            ),
            copies=tuple(draw(st.lists(COPIES, min_size=1, max_size=5))),
            ingress=draw(st.sampled_from([(), 1, (1, 2)])),
        )
    except ValueError:
        return None


@given(specs().filter(bool))
def test_every_receiver_gets_its_copy_and_no_other_port_anything(spec):
    for rule in rules(spec):
        ingress = dict(rule.match).get("in_port")
        sent = deliver(rule, Packet(spec.udp_port, "10.0.0.1"))
        assert sent[0] == (spec.collector.port, Packet(spec.udp_port, "10.0.0.1")), "the original, first and untouched"

        wanted = []
        for copy in spec.copies:
            if copy.host is None:
                port = "NORMAL" if spec.collector.port == "LOCAL" else spec.collector.port
                wanted.append((port, Packet(copy.port, "10.0.0.1")))
                continue
            back = copy.out in ("IN_PORT", ingress)
            packet = Packet(
                udp_dst=spec.port_of(copy),
                ipv4_dst=copy.host,
                ipv4_src="sender" if copy.source == "keep" else "10.0.0.1",
                eth_src=COLLECTOR_MAC if back else "sender",
                eth_dst=copy.mac or COLLECTOR_MAC,
            )
            wanted.append(("IN_PORT" if back else copy.out, packet))
        assert sorted(sent[1:], key=repr) == sorted(wanted, key=repr)


@given(specs().filter(bool))
def test_rules_of_one_spec_never_compete(spec):
    compiled = rules(spec)
    assert len({rule.identity for rule in compiled}) == len(compiled) == max(1, len(spec.ingress_ports))
