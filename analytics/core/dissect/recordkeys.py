"""Flow records beside the sampled header -> flow keys: one row per record.

A row lists `key=field` words, fields by their names in structures.py; `key=field:kind` when the kind of the key does
not follow from the type of the field, and `key=` for the constant 1. A new key is one new word here. Several records
may make one key (`httphost`). Names are those of sflow-rt-api.md 2.3, others in their manner.

The rest is a plan for notes.pyx: which slot of `Fields` a key has, and which bytes of `Fields.notes` it is written
to. A key that can be absent though its record is there (a text, an address, a list: empty ones make no key) has a
slot of its own; others share one if the same records make them, in the same order. Numbers of 64 bits are clipped to
32, texts cut to KEY_SIZES bytes, lists to 16 entries.
"""

from __future__ import annotations

from typing import NamedTuple

from analytics.core.dissect.packet import FREE_SLOTS, KEY_SIZES, NOTES
from analytics.core.wire.structures import FLOW_RECORDS, NAV_TIMING, Tag

SOCKET = """{0}protocol={1}ip_protocol {0}localip={1}local_ip:address {0}remoteip={1}remote_ip:address
    {0}localport={1}local_port {0}remoteport={1}remote_port"""
FLAT4 = """{0}ipprotocol={1}IPProtocol {0}ipsource={1}srcIP {0}ipdestination={1}dstIP {0}udpsourceport={1}src_port
    {0}udpdestinationport={1}dst_port {0}iptos={1}IPTOS"""
FLAT6 = """{0}ip6nexthdr={1}IPProtocol {0}ip6source={1}srcIP6 {0}ip6destination={1}dstIP6
    {0}udpsourceport={1}src_port {0}udpdestinationport={1}dst_port {0}ip6tos={1}priority"""
FLAT2 = "{0}macsource={1}ethernet_src {0}macdestination={1}ethernet_dst {0}ethernetprotocol={1}ethernet_type"
HTTP = """httpmethod=http_method:httpmethod httpprotocol=http_protocol httpurl=http_uri:url httphost=http_host
    httpreferrer=http_referrer httpuseragent=http_useragent httpuser=http_authuser httpmimetype=http_mimetype
    httpbytes=http_bytes httpstatus=http_status:signed duration=http_duration_uS requests="""

KEYS: dict[Tag, str] = {
    (0, 1002): "ipnexthoprouter=nextHop ipsourcemaskbits=srcSubnetMask ipdestinationmaskbits=dstSubnetMask",
    (0, 1003): """bgpnexthop=bgp_nexthop bgpas=my_as bgpsourceas=src_as bgpsourcepeeras=src_peer_as
        bgpdestinationas=dst_as_path:last_as bgpdestinationpeeras=dst_as_path:first_as
        bgpdestinationaspath=dst_as_path bgpcommunities=BGP_communities bgplocalpref=BGP_localpref""",
    (0, 1004): "usersource=src_user userdestination=dst_user",
    (0, 1005): "urldirection=url_direction:urldirection httpurl=url:url httphost=host",
    (0, 1006): "mplsnexthop=mpls_nexthop mplsinputlabels=mpls_input_stack mplsoutputlabels=mpls_output_stack",
    (0, 1007): "natipsource=nat_src natipdestination=nat_dst",
    (0, 1008): "mplstunnelname=mpls_tunnel_lsp_name mplstunnelid=mpls_tunnel_id mplstunnelcos=mpls_tunnel_cos",
    (0, 1009): "mplsvcname=mpls_vc_name mplsvcid=mpls_vll_vc_id mplsvccos=mpls_vc_cos",
    (0, 1010): "mplsftnname=mpls_ftn_descr mplsftnmask=mpls_ftn_mask",
    (0, 1011): "mplsfecbits=mpls_fec_addr_prefix_len",
    (0, 1012): "vlansstripped=vlan_tunnel",
    (0, 1014): """ssid=rx_SSID bssid=rx_BSSID wifiversion=rx_version:wifiversion wifichannel=rx_channel
        wifispeed=rx_speed wifirsni=rx_rsni wifircpi=rx_rcpi wifiduration=rx_packet_uS""",
    (0, 1015): """ssid=tx_SSID bssid=tx_BSSID wifiversion=tx_version:wifiversion wifitransmissions=tx_transmissions
        wifiduration=tx_packet_uS wifiretransduration=tx_retrans_uS wifichannel=tx_channel wifispeed=tx_speed
        wifipower=tx_power_mW""",
    (0, 1018): """fcsourcemaskbits=fc_src_mask_len fcdestinationmaskbits=fc_dst_mask_len fcnexthop=fc_next_hop
        fcmetric=fc_metric""",
    (0, 1019): "queueindex=queue_index queuelength=queue_length",
    (0, 1020): "natsourceport=nat_src_port natdestinationport=nat_dst_port",
    (0, 1021): FLAT2.format("output", "tunnel_l2_out_"),
    (0, 1022): FLAT2.format("input", "tunnel_l2_in_"),
    (0, 1023): FLAT4.format("output", "tunnel_ipv4_out_"),
    (0, 1024): FLAT4.format("input", "tunnel_ipv4_in_"),
    (0, 1025): FLAT6.format("output", "tunnel_ipv6_out_"),
    (0, 1026): FLAT6.format("input", "tunnel_ipv6_in_"),
    (0, 1027): "outputdecapoffset=out_decap_inner_header_offset",
    (0, 1028): "inputdecapoffset=in_decap_inner_header_offset",
    (0, 1029): "outputvni=out_VNI",
    (0, 1030): "inputvni=in_VNI",
    (0, 1031): """ibinputvl=ib_src_vl ibinputsl=ib_src_sl ibinputlidsource=ib_src_slid
        ibinputliddestination=ib_src_dlid ibinputlnh=ib_src_lnh iboutputvl=ib_dst_vl iboutputsl=ib_dst_sl
        iboutputlidsource=ib_dst_slid iboutputliddestination=ib_dst_dlid iboutputlnh=ib_dst_lnh""",
    (0, 1032): """ibflowlabel=ib_flow_label ibtc=ib_tc ibgidsource=ib_s_gid ibgiddestination=ib_d_gid
        ibnexthdr=ib_next_header ibbytes=ib_length""",
    (0, 1033): "ibpkey=ib_pkey ibqpdestination=ib_dst_qp ibopcode=ib_opcode",
    (0, 1034): "vlansinput=in_vlan_stack",
    (0, 1035): "vlansoutput=out_vlan_stack",
    (0, 1036): "queueindex=egress_queue_id",
    (0, 1037): "aclnumber=acl_number aclname=acl_name acldirection=acl_direction:acldirection",
    (0, 1038): "function=symbol",
    (0, 1039): "transitdelay=transit_delay_nS",
    (0, 1040): "queuedepth=queue_depth_bytes",
    (0, 1041): "hwtrapgroup=hw_trap_group hwtrapname=hw_trap_name",
    (0, 1042): "linuxdropreason=linux_drop_reason",
    (0, 2000): """transactiondirection=transaction_direction:transactiondirection transactionwait=transaction_wait_uS
        duration=transaction_duration_uS transactionstatus=transaction_status:transactionstatus
        transactionbytesreceived=transaction_bytes_received transactionbytessent=transaction_bytes_sent requests=""",
    (0, 2001): "nfspath=nfs_path nfsoperation=nfs_operation nfsstatus=nfs_status",
    (0, 2002): "scsilun=scsi_lun scsioperation=scsi_operation scsistatus=scsi_status",
    (0, 2003): """httpurl=http_url:url httphost=http_host httpreferrer=http_referrer httpuseragent=http_useragent
        httpuser=http_user httpstatus=http_status:signed""",
    (0, 2100): SOCKET.format("socket", "socket4_"),
    (0, 2101): SOCKET.format("socket", "socket6_"),
    (0, 2102): SOCKET.format("proxysocket", "proxy_socket4_"),
    (0, 2103): SOCKET.format("proxysocket", "proxy_socket6_"),
    (0, 2200): """memcacheprotocol=memcache_op_protocol:memcacheprotocol
        memcachecommand=memcache_op_cmd:memcachecommand memcachekey=memcache_op_key memcachekeys=memcache_op_nkeys
        memcachevaluebytes=memcache_op_value_bytes memcachestatus=memcache_op_status:memcachestatus
        duration=memcache_op_duration_uS requests=""",
    (0, 2201): HTTP,
    (0, 2202): """appname=application appoperation=operation appstatustext=status_descr
        apprequestbytes=request_bytes appresponsebytes=response_bytes appstatus=status:appstatus duration=duration_uS
        requests=""",
    (0, 2203): "appparentname=server_context_application appparentoperation=server_context_operation",
    (0, 2204): "appinitiator=actor_initiator",
    (0, 2205): "apptarget=actor_target",
    (0, 2206): HTTP + " httpxff=http_xff httprequestbytes=http_request_bytes",
    (0, 2207): "proxyurl=proxy_uri:url proxyhost=proxy_host",
    (0, 2208): " ".join(f"nav{name.replace('_', '')}=nav_timing_{name}" for name in NAV_TIMING.split()),
    (0, 2209): """tcpdirection=tcpinfo_direction:tcpdirection tcpsendmss=tcpinfo_send_mss
        tcpreceivemss=tcpinfo_receive_mss tcpunacked=tcpinfo_unacked_pkts tcplost=tcpinfo_lost_pkts
        tcpretrans=tcpinfo_retrans_pkts tcppathmtu=tcpinfo_path_mtu tcprtt=tcpinfo_rtt_uS
        tcprttvar=tcpinfo_rtt_uS_var tcpcwnd=tcpinfo_send_congestion_win tcpreordering=tcpinfo_reordering
        tcprttmin=tcpinfo_rtt_uS_min""",
    (0, 2210): """entitysourceclass=entities_src_class entitysourceindex=entities_src_index
        entitydestinationclass=entities_dst_class entitydestinationindex=entities_dst_index""",
    (4413, 1): "queueindex=bst_egress_queue",
}
ALIASES = {
    "uripath": ("httpurl", "uripath"),
    "tcpcwndsnd": ("tcpcwnd", "number"),
}  # key -> (the key whose bytes it reads, its own kind)

KIND_OF_TYPE = {"u32": "number", "i32": "number", "u64": "number", "word": "number", "mac": "mac", "ip4": "ip",
                "ip6": "ip6", "addr": "address", "str": "text", "opaque": "text", "labels": "labels",
                "vlans": "labels", "as_path": "aspath", "u32s": "communities"}  # fmt: skip
WIRE = {"mac": 6, "address": 20}  # bytes written, where they are not the size of the key
OPTIONAL = frozenset({"address", "text", "url", "labels", "vlans", "aspath", "communities", "last_as", "first_as"})


class RecordKey(NamedTuple):
    """One key of one record: `field` is its position in the record (-1: the constant 1), `layout` the type of the field
    or, where a row has one, the kind; `note` is where its slot begins in Fields.notes, `offset` counts from there.
    """

    key: str
    kind: str
    field: int
    layout: str
    slot: int
    note: int
    offset: int
    wire: int


class _Allocator:
    """Gives out slots and notes; `made` by key."""

    def __init__(self) -> None:
        self.slots = iter(FREE_SLOTS)
        self.used = 0
        self.made: dict[str, RecordKey] = {}
        self.drafts = {tag: self._drafts(tag) for tag in KEYS}
        self.makers: dict[str, list[Tag]] = {}
        for tag, drafts in self.drafts.items():
            for key in drafts:
                self.makers.setdefault(key, []).append(tag)

    def record(self, tag: Tag) -> tuple[RecordKey, ...]:
        """The keys of one record, in wire order."""
        for key in self.drafts[tag]:
            if key not in self.made:
                self._share([key, *self._companions(tag, key)])
        return tuple(
            draft._replace(slot=made.slot, note=made.note, offset=made.offset)
            for draft, made in ((draft, self.made[key]) for key, draft in self.drafts[tag].items())
        )

    def _drafts(self, tag: Tag) -> dict[str, RecordKey]:
        """By key, in wire order: without slot and note."""
        positions = {field.name: index for index, field in enumerate(FLOW_RECORDS[tag].fields)}
        words = [word.replace("=", ":").split(":") for word in KEYS[tag].split()]
        words.sort(key=lambda word: positions[word[1]] if word[1] else -1)
        return {key: _draft(tag, key, positions.get(name, -1), *kinds) for key, name, *kinds in words}

    def _companions(self, tag: Tag, first: str) -> list[str]:
        """The keys that can share a slot with a key: they follow it in every record that makes either."""
        found = [first]
        for key, draft in self.drafts[tag].items():
            if (
                draft.layout not in OPTIONAL
                and self.drafts[tag][first].layout not in OPTIONAL
                and key not in self.made
                and self.makers[key] == self.makers[first]
                and all(drafts[found[-1]].field < drafts[key].field for drafts in self._of(key))
            ):
                found.append(key)
        return found[1:]

    def _of(self, key: str) -> list[dict[str, RecordKey]]:
        return [self.drafts[tag] for tag in self.makers[key]]

    def _share(self, keys: list[str]) -> None:
        """Give keys one slot, side by side."""
        slot, note, offset = next(self.slots, None), self.used, 0
        if slot is None:
            raise ImportError(f"no slot is left for the key {keys[0]!r} of a flow record")
        for key in keys:
            draft = self._of(key)[0][key]
            self.made[key] = draft._replace(slot=slot, note=note, offset=offset)
            offset += draft.wire
        self.used += offset


def _draft(tag: Tag, key: str, field: int, kind: str = "") -> RecordKey:
    of_field = FLOW_RECORDS[tag].fields[field].type if field >= 0 else "one"
    kind = kind or KIND_OF_TYPE.get(of_field, "number")
    layout = "vlans" if of_field == "vlans" else kind if kind in OPTIONAL else of_field
    wire = WIRE.get(kind, KEY_SIZES.get(kind, 4))
    return RecordKey(key, "number" if kind in ("last_as", "first_as") else kind, field, layout, -1, -1, 0, wire)


def _rows(made: dict[str, RecordKey]) -> tuple[tuple[str, int, int, int, int, int, int, str], ...]:
    """The keys as rows of core/packet.ROWS."""
    rows = [
        (key, one.slot, one.offset, one.wire, 0, 0 if one.kind in KEY_SIZES else 0xFFFFFFFF, 0, one.kind)
        for key, one in made.items()
    ]
    by_name = {row[0]: row for row in rows}
    return (*rows, *((key, *by_name[of][1:-1], kind) for key, (of, kind) in ALIASES.items()))


_allocator = _Allocator()
RECORD_KEYS: dict[Tag, tuple[RecordKey, ...]] = {tag: _allocator.record(tag) for tag in KEYS}
ROWS = _rows(_allocator.made)
if _allocator.used > NOTES:
    raise ImportError(f"the keys of flow records take {_allocator.used} bytes, NOTES_BYTES is {NOTES}")
