"""One hand-built example of every flow record: (enterprise, format) -> (bytes, the JSON fields they mean)."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from tests.analytics.examples.counter_examples import MAC, Example, numbers
from tests.analytics.examples.wire import ethernet, ipv4, opaque, record, tcp, words


def ip(text: str) -> bytes:
    """A bare address."""
    return ip_address(text).packed


def addr(text: str) -> bytes:
    """XDR address: type and bytes."""
    return words(1 if len(ip(text)) == 4 else 2) + ip(text)


SIX = {f"2001:db8::{n}": f"2001:0db8:0000:0000:0000:0000:0000:000{n}" for n in (1, 2)}
FRAME = ethernet(ipv4(tcp(40000, 443, 0x12), 6, tos=0xB8), tags=((0x8100, 3 << 13 | 100),))
FLAT4 = words(1500, 6) + ip("10.0.1.1") + ip("10.0.2.2") + words(40000, 443, 0x12, 0xB8)
FLAT6 = words(1400, 17) + ip("2001:db8::1") + ip("2001:db8::2") + words(53, 40001, 0, 7)
L2 = words(16) + MAC + bytes.fromhex("0000000000020000") + words(3)


def labelled(label: str, example: Example, key: str = "extendedType") -> Example:
    return example[0], {key: label} | example[1]


def prefixed(prefix: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in fields.items()}


L2_FIELDS = {"ethernet_type": "3", "ethernet_len": "16", "ethernet_src": "0004deadbeef", "ethernet_dst": "000000000002"}
FLAT4_FIELDS = {"sampledPacketSize": "1500", "IPSize": "1500", "srcIP": "10.0.1.1", "dstIP": "10.0.2.2",
                "IPProtocol": "6", "IPTOS": "184", "TCPSrcPort": "40000", "TCPDstPort": "443",
                "TCPFlags": "18"}  # fmt: skip
FLAT6_FIELDS = {"sampledPacketSize": "1400", "IPSize": "1400", "srcIP6": SIX["2001:db8::1"],
                "dstIP6": SIX["2001:db8::2"], "IPProtocol": "17", "priority": "7", "UDPSrcPort": "53",
                "UDPDstPort": "40001"}  # fmt: skip


def socket(prefix: str, local: str, remote: str) -> Example:
    return words(6) + ip(local) + ip(remote) + words(5000, 80), {"extendedType": prefix} | prefixed(
        prefix + "_",
        {"ip_protocol": "6", "local_ip": SIX.get(local, local), "remote_ip": SIX.get(remote, remote),
         "local_port": "5000", "remote_port": "80"},
    )  # fmt: skip


HTTP_STRINGS = {"http_uri": "/a?b", "http_host": "h.example", "http_referrer": "r", "http_useragent": "curl/8"}
HEADER_FIELDS = {
    "flowSampleType": "HEADER", "headerProtocol": "1", "sampledPacketSize": "1522", "strippedBytes": "4",
    "headerLen": str(len(FRAME)), "headerBytes": FRAME.hex("-").upper(), "dstMAC": "000000000002",
    "srcMAC": "000000000001", "decodedVLAN": "100", "decodedPriority": "3", "ethernet_type": "2048", "IPSize": "1500",
    "ip.tot_len": "40", "srcIP": "10.0.1.1", "dstIP": "10.0.2.2", "IPProtocol": "6", "IPTOS": "184", "IPTTL": "64",
    "IPID": "7", "TCPSrcPort": "40000", "TCPDstPort": "443", "TCPFlags": "18",
}  # fmt: skip
HEADER = words(1, 1522, 4) + opaque(FRAME)
TCP_INFO = """send_mss receive_mss unacked_pkts lost_pkts
    retrans_pkts path_mtu rtt_uS rtt_uS_var send_congestion_win reordering rtt_uS_min"""

FLOWS: dict[tuple[int, int], Example] = {
    (0, 1): (HEADER, HEADER_FIELDS),
    (0, 2): (L2, {"flowSampleType": "ETHERNET"} | L2_FIELDS),
    (0, 3): (FLAT4, {"flowSampleType": "IPV4"} | FLAT4_FIELDS),
    (0, 4): (FLAT6, {"flowSampleType": "IPV6"} | FLAT6_FIELDS),
    (0, 1001): labelled("SWITCH", numbers("4I", "in_vlan in_priority out_vlan out_priority")),
    (0, 1002): (addr("10.0.0.254") + words(24, 16), {
        "extendedType": "ROUTER", "nextHop": "10.0.0.254", "srcSubnetMask": "24", "dstSubnetMask": "16"}),
    (0, 1003): (
        addr("2001:db8::1") + words(65000, 65001, 65002) + words(2, 2, 2, 65002, 65003, 1, 2, 65010, 65011)
        + words(2, 4259840100, 7) + words(100),
        {"extendedType": "GATEWAY", "bgp_nexthop": SIX["2001:db8::1"], "my_as": "65000", "src_as": "65001",
         "src_peer_as": "65002", "dst_as_path": "65002-65003-(65010-65011)", "dst_as": "65011", "dst_peer_as": "65002",
         "BGP_communities": "4259840100-7", "BGP_localpref": "100"}),
    (0, 1004): (words(106) + opaque("ä".encode()) + words(3) + opaque(b"bob"), {
        "extendedType": "USER", "src_user_charset": "106", "dst_user_charset": "3", "src_user": "ä",
        "dst_user": "bob"}),
    (0, 1005): (words(2) + opaque(b"http://x/\"y\"") + opaque(b"x"), {
        "extendedType": "URL", "url_direction": "2", "url": 'http://x/"y"', "host": "x"}),
    (0, 1006): (
        addr("10.0.0.9") + words(2, 100 << 12 | 5 << 9 | 64, 16 << 12 | 1 << 8 | 63) + words(1, 3 << 12 | 1 << 8),
        {"extendedType": "MPLS", "mpls_nexthop": "10.0.0.9", "mpls_input_stack": "100.5.0.64-16.0.1.63",
         "mpls_output_stack": "3.0.1.0"}),
    (0, 1007): (addr("192.0.2.1") + words(0), {"extendedType": "NAT", "nat_src": "192.0.2.1", "nat_dst": "-"}),
    (0, 1008): (opaque(b"lsp1") + words(5, 6), {
        "mpls_tunnel_lsp_name": "lsp1", "mpls_tunnel_id": "5", "mpls_tunnel_cos": "6"}),
    (0, 1009): (opaque(b"vc") + words(5, 6), {"mpls_vc_name": "vc", "mpls_vll_vc_id": "5", "mpls_vc_cos": "6"}),
    (0, 1010): (opaque(b"ftn") + words(32), {"mpls_ftn_descr": "ftn", "mpls_ftn_mask": "32"}),
    (0, 1011): numbers("I", "mpls_fec_addr_prefix_len"),
    (0, 1012): (words(2, 0x88A80064, 0x81007005), {"vlan_tunnel": "0x88a80.0.100-0x81003.1.5"}),
    (0, 1013): (words(4) + HEADER, {"cipher_suite": "4"} | HEADER_FIELDS),
    (0, 1014): (opaque(b"wifi") + MAC + struct.pack(">IIQIII", 3, 11, 1 << 33, 4, 5, 6), {
        "rx_SSID": "wifi", "rx_BSSID": "0004deadbeef", "rx_version": "3", "rx_channel": "11",
        "rx_speed": "8589934592", "rx_rsni": "4", "rx_rcpi": "5", "rx_packet_uS": "6"}),
    (0, 1015): (opaque(b"wifi") + MAC + struct.pack(">IIIIIQI", 3, 2, 4, 5, 11, 1 << 33, 6), {
        "tx_SSID": "wifi", "tx_BSSID": "0004deadbeef", "tx_version": "3", "tx_transmissions": "2",
        "tx_packet_uS": "4", "tx_retrans_uS": "5", "tx_channel": "11", "tx_speed": "8589934592",
        "tx_power_mW": "6"}),
    (0, 1016): (
        words(2) + words(1) + record(1011, words(9)) + words(0),
        {"pdus": [{"elements": [{"flowBlock_tag": "0:1011", "mpls_fec_addr_prefix_len": "9"}]}, {"elements": []}]}),
    (0, 1017): (struct.pack(">QI", 1 << 40, 5), {
        "openflow_cookie": "1099511627776", "openflow_match_actions": "00-00-00-05"}),
    (0, 1018): numbers("4I", "src_mask_len dst_mask_len next_hop metric", "fc_"),
    (0, 1019): numbers("2I", "index length", "queue_"),
    (0, 1020): labelled("NAT PORT", numbers("2I", "nat_src_port nat_dst_port")),
    **{(0, tag): (L2, {"flowSampleType": f"tunnel_l2_{end}_ETHERNET"} | prefixed(f"tunnel_l2_{end}_", L2_FIELDS))
       for tag, end in ((1021, "out"), (1022, "in"))},
    **{(0, tag): (FLAT4, {"flowSampleType": f"tunnel_ipv4_{end}_IPV4"} | prefixed(f"tunnel_ipv4_{end}_", FLAT4_FIELDS))
       for tag, end in ((1023, "out"), (1024, "in"))},
    **{(0, tag): (FLAT6, {"flowSampleType": f"tunnel_ipv6_{end}_IPV6"} | prefixed(f"tunnel_ipv6_{end}_", FLAT6_FIELDS))
       for tag, end in ((1025, "out"), (1026, "in"))},
    (0, 1027): labelled("out_decap", numbers("I", "out_decap_inner_header_offset")),
    (0, 1028): labelled("in_decap", numbers("I", "in_decap_inner_header_offset")),
    (0, 1029): labelled("out_VNI", numbers("I", "out_VNI")),
    (0, 1030): labelled("in_VNI", numbers("I", "in_VNI")),
    (0, 1031): numbers("10I", "src_vl src_sl src_dlid src_slid src_lnh dst_vl dst_sl dst_dlid dst_slid dst_lnh", "ib_"),
    (0, 1032): (words(1, 2) + ip("2001:db8::1") + ip("2001:db8::2") + words(3, 4), {
        "ib_flow_label": "1", "ib_tc": "2", "ib_s_gid": SIX["2001:db8::1"], "ib_d_gid": SIX["2001:db8::2"],
        "ib_next_header": "3", "ib_length": "4"}),
    (0, 1033): numbers("3I", "pkey dst_qp opcode", "ib_"),
    (0, 1034): (words(1, 0x81000001), {"in_vlan_stack": "0x81000.0.1"}),
    (0, 1035): (words(1, 0x8100E002), {"out_vlan_stack": "0x81007.0.2"}),
    (0, 1036): labelled("egress_queue", numbers("I", "egress_queue_id")),
    (0, 1037): (words(7) + opaque(b"block-in") + words(1), {
        "acl_number": "7", "acl_name": "block-in", "acl_direction": "1"}),
    (0, 1038): labelled("function", (opaque(b"tcp_v4_rcv"), {"symbol": "tcp_v4_rcv"})),
    (0, 1039): labelled("transit_delay", (words(0xFFFFFFFF), {"transit_delay_nS": "4294967295"})),
    (0, 1040): labelled("queue_depth", numbers("I", "queue_depth_bytes")),
    (0, 1041): labelled("hw_trap", (opaque(b"l2_drops") + opaque(b"vlan_tag_mismatch"), {
        "hw_trap_group": "l2_drops", "hw_trap_name": "vlan_tag_mismatch"})),
    (0, 1042): labelled("linux_reason", (opaque(b"NO_SOCKET"), {"linux_drop_reason": "NO_SOCKET"})),
    (0, 1043): labelled("timestamp", numbers("Q", "timestamp_nS")),
    (0, 2000): numbers("4I2Q", "direction wait_uS duration_uS status bytes_received bytes_sent", "transaction_"),
    (0, 2001): (opaque(b"\x01\xab") + words(3, 4), {"nfs_path": "01-AB", "nfs_operation": "3", "nfs_status": "4"}),
    (0, 2002): numbers("3I", "lun operation status", "scsi_"),
    (0, 2003): (b"".join(map(opaque, (b"u", b"h.example", b"r", b"curl/8", b"eve"))) + words(404), {
        "http_url": "u", "http_host": "h.example", "http_referrer": "r", "http_useragent": "curl/8",
        "http_user": "eve", "http_status": "404"}),
    (0, 2100): socket("socket4", "10.0.0.1", "10.0.0.2"),
    (0, 2101): socket("socket6", "2001:db8::1", "2001:db8::2"),
    (0, 2102): socket("proxy_socket4", "10.0.0.1", "10.0.0.2"),
    (0, 2103): socket("proxy_socket6", "2001:db8::1", "2001:db8::2"),
    (0, 2200): (words(1, 7) + opaque(b"user:1") + words(1, 200, 30, 1), {
        "flowSampleType": "memcache", "memcache_op_protocol": "1", "memcache_op_cmd": "7",
        "memcache_op_key": "user:1", "memcache_op_nkeys": "1", "memcache_op_value_bytes": "200",
        "memcache_op_duration_uS": "30", "memcache_op_status": "1"}),
    (0, 2201): (
        words(2, 1001) + b"".join(map(opaque, (b"/a?b", b"h.example", b"r", b"curl/8", b"eve", b"text/html")))
        + struct.pack(">QII", 1 << 33, 20, 200),
        {"flowSampleType": "http", "http_method": "2", "http_protocol": "1001"} | HTTP_STRINGS | {
            "http_authuser": "eve", "http_mimetype": "text/html", "http_bytes": "8589934592",
            "http_duration_uS": "20", "http_status": "200"}),
    (0, 2202): (
        b"".join(map(opaque, (b"shop", b"buy", b"a=1", b"fine"))) + struct.pack(">QQII", 1 << 33, 6, 7, 10),
        {"flowSampleType": "applicationOperation", "application": "shop", "operation": "buy", "attributes": "a=1",
         "status_descr": "fine", "request_bytes": "8589934592", "response_bytes": "6", "duration_uS": "7",
         "status": "UNATHORIZED"}),
    (0, 2203): (b"".join(map(opaque, (b"web", b"get", b"x"))), {
        "server_context_application": "web", "server_context_operation": "get", "server_context_attributes": "x"}),
    (0, 2204): (opaque(b"alice"), {"actor_initiator": "alice"}),
    (0, 2205): (opaque(b"bob"), {"actor_target": "bob"}),
    (0, 2206): (
        words(8, 2000) + b"".join(map(opaque, (b"/a?b", b"h.example", b"r", b"curl/8", b"::1", b"eve", b"text/html")))
        + struct.pack(">QQIi", 1 << 33, 1 << 34, 20, -1),
        {"flowSampleType": "http", "http_method": "8", "http_protocol": "2000"} | HTTP_STRINGS | {
            "http_xff": "::1", "http_authuser": "eve", "http_mimetype": "text/html",
            "http_request_bytes": "8589934592", "http_bytes": "17179869184", "http_duration_uS": "20",
            "http_status": "-1"}),
    (0, 2207): (opaque(b"/p") + opaque(b"back"), {"proxy_uri": "/p", "proxy_host": "back"}),
    (0, 2208): numbers("23I", """type redirect_count navigation_start unload_start unload_end redirect_start
        redirect_end fetch_start dns_start dns_end connect_start connect_end secure_start request_start
        response_start response_end dom_loading dom_interactive dom_content_loaded_start dom_content_loaded_end
        dom_complete load_start load_end""", "nav_timing_"),
    (0, 2209): (words(2, *range(1, 12)), {"tcpinfo_direction": "sent"} | {
        f"tcpinfo_{name}": str(number) for number, name in enumerate(TCP_INFO.split(), 1)}),
    (0, 2210): labelled("entities", numbers("4I", "src_class src_index dst_class dst_index", "entities_")),
    (4413, 1): numbers("I", "bst_egress_queue"),
}  # fmt: skip
