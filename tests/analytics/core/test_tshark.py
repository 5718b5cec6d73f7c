"""Our fields against tshark's, where tshark decodes them: hand-built structures, packets sampled by Open vSwitch."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from analytics.core.printing.printer import Printer
from analytics.inputs.capture import datagrams
from tests.analytics.examples.counter_examples import COUNTERS
from tests.analytics.examples.flow_examples import FLOWS
from tests.analytics.examples.wire import counter_sample, datagram, ethernet, flow_sample, ipv4, record, udp
from tests.analytics.inputs.test_capture import pcap
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

CAPTURES = sorted((Path(__file__).parents[1] / "examples/captures").glob("*.pcap"))
PREFIX = "sflow_245."
PLAIN = {  # sflowtool's name: tshark's, where only the prefix and these differ
    (0, 1): {"ifIndex": "ifindex", "networkType": "iftype", "ifSpeed": "ifspeed", "ifInOctets": "ifinoct",
             "ifInUcastPkts": "ifinpkt", "ifInMulticastPkts": "ifinmcast", "ifInBroadcastPkts": "ifinbcast",
             "ifInDiscards": "ifindisc", "ifInErrors": "ifinerr", "ifInUnknownProtos": "ifinunk",
             "ifOutOctets": "ifoutoct", "ifOutUcastPkts": "ifoutpkt", "ifOutMulticastPkts": "ifoutmcast",
             "ifOutBroadcastPkts": "ifoutbcast", "ifOutDiscards": "ifoutdisc", "ifOutErrors": "ifouterr"},
    (0, 2): {name: name for name in COUNTERS[0, 2][1]},
    (0, 3): {name: name.replace("Recoverys", "Recoveries") for name in COUNTERS[0, 3][1]},
    (0, 4): {name: name for name in COUNTERS[0, 4][1]},
    (0, 5): {"in_vlan": "vlan_id", **{name: name for name in COUNTERS[0, 5][1] if name != "in_vlan"}},
}  # fmt: skip
FLOW_FIELDS = {
    (0, 1001): {"in_vlan": "vlan.in", "in_priority": "pri.in", "out_vlan": "vlan.out", "out_priority": "pri.out"},
    (0, 1002): {"nextHop": "nexthop", "srcSubnetMask": "nexthop.src_mask", "dstSubnetMask": "nexthop.dst_mask"},
    (0, 1003): {"my_as": "as", "src_as": "srcAS", "src_peer_as": "peerAS", "BGP_localpref": "localpref"},
}


def fields(path: Path, names: list[str], *options: str) -> list[dict[str, str]]:
    """What tshark says of each packet: {field: first value}, absent ones left out."""
    asked = [word for name in names for word in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-r", path, *options, "-T", "fields", "-E", "occurrence=f", *asked],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return [
        {name: value for name, value in zip(names, line.split("\t"), strict=True) if value}
        for line in done.stdout.splitlines()
    ]


@pytest.mark.parametrize("kind", ["counter", "flow"])
def test_structures(tmp_path, kind):
    """Without neighbours, because tshark does not skip counter records that it does not know."""
    examples, mapping = (COUNTERS, PLAIN) if kind == "counter" else (FLOWS, FLOW_FIELDS)
    sample = counter_sample if kind == "counter" else flow_sample
    path = tmp_path / "structures.pcap"
    made = [sample(record(tag[1], examples[tag][0])) for tag in mapping]
    path.write_bytes(pcap(*(ethernet(ipv4(udp(6343, 6343, datagram(one)), 17)) for one in made)))
    names = [PREFIX + name for names in mapping.values() for name in names.values()]
    for (tag, pairs), seen in zip(mapping.items(), fields(path, names, "-d", "udp.port==6343,sflow"), strict=True):
        ours = examples[tag][1]
        assert {name: seen[PREFIX + theirs] for name, theirs in pairs.items()} == {name: ours[name] for name in pairs}


HEADER = {
    "eth.dst": "dstMAC", "eth.src": "srcMAC", "vlan.id": "decodedVLAN", "vlan.priority": "decodedPriority",
    "ip.src": "srcIP", "ip.dst": "dstIP", "ip.proto": "IPProtocol", "ip.ttl": "IPTTL", "ip.len": "ip.tot_len",
    "ip.id": "IPID", "ip.dsfield": "IPTOS", "ipv6.src": "srcIP6", "ipv6.dst": "dstIP6", "ipv6.hlim": "IPTTL",
    "ipv6.plen": "IPV6_payloadLen", "ipv6.flow": "IP6_label", "tcp.srcport": "TCPSrcPort", "tcp.dstport": "TCPDstPort",
    "udp.srcport": "UDPSrcPort", "udp.dstport": "UDPDstPort", "udp.length": "UDPBytes", "icmp.type": "ICMPType",
    "icmp.code": "ICMPCode", "frame.len": "sampledPacketSize", "frame.cap_len": "headerLen",
}  # fmt: skip


TRANSPORT = {"tcp": "6", "udp": "17", "icmp": "1"}


def same(theirs: str, ours: str) -> bool:
    """The same value, each in its program's spelling: MACs, IPv6 in full, hex and decimal."""
    if ":" in ours:
        groups = theirs.split("::")
        front, back = groups[0].split(":"), groups[1].split(":") if len(groups) > 1 else []
        full = [*filter(None, front), *["0"] * (8 - len([*filter(None, front + back)])), *filter(None, back)]
        return ":".join(group.zfill(4) for group in full) == ours
    if theirs.count(":") == 5:
        return theirs.replace(":", "") == ours
    if theirs.startswith("0x"):
        return int(theirs, 16) == int(ours, 0)
    return theirs == ours


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_sampled_packets(tmp_path, capture):
    """The packets we write, as tshark reads them, and the header fields that we print of the same samples."""
    printer, packets = Printer("json"), Printer("pcap")
    for now, source, data in datagrams(capture, 6343):
        printer.feed(data, now, source, "-")
        packets.feed(data, now, source, "-")
    out = tmp_path / "packets.pcapng"
    out.write_bytes(packets.take())
    ours = [
        element
        for line in printer.take().splitlines()
        for sample in json.loads(line)["samples"]
        for element in sample["elements"]
        if element.get("flowBlock_tag") == "0:1"
    ]
    theirs = fields(out, list(HEADER))
    assert len(theirs) == len(ours)
    assert ours or capture.stem == "ovs_counters"
    for seen, element in zip(theirs, ours, strict=True):
        for field, value in seen.items():
            if element.get("IPProtocol") != TRANSPORT.get(field.partition(".")[0], element.get("IPProtocol")):
                continue  # of a packet inside this one
            assert same(value, element[HEADER[field]]), (field, value, element)
