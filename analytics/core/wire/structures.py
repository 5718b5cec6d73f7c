"""Every sFlow v5 structure we read, one row each: samples, flow and counter records (sflow.org; sflow-wire.md 2-4).

A row states the fields in wire order as one string of `name:type` words; a word without a type is a `u32`. Names are
those that sflowtool prints (sflow-wire.md 8.3-8.7); structures that it does not decode have names of our own, after the
specification's. `[name]` is printed only when it is not empty, and a `?` behind the type marks a field that older
agents leave out: a record may end before it. A row without fields is known by name only, and its bytes are kept.

    u32 i32 u64 f32 f64 u8    numbers, big-endian            mac ip4 ip6 uuid    8 (6 and padding), 4, 16, 16 bytes
    addr                      type, then 0, 4 or 16 bytes    str opaque          length, bytes, padding to 4
    percent                   i32, hundredths; -1 unknown    dpid                u64 in 16 hex digits
    word                      u32 that stands for a word     source port         compact source id, interface word (2.2)
    source2 port2             the same expanded to 2 words   u32s percents       count, then as many words
    labels vlans              count, then MPLS label stack entries, or TPID and TCI
    as_path                   count, then segments: type, count, AS numbers
    lanes adapters            count, then optical lanes of 10 words, or adapters: ifIndex and counted MACs
    rest                      all that is left, bytes
    header                    opaque with a packet's first bytes; behind protocol, frame_length and stripped
    payload                   0:1013: opaque (specification), or a whole sampled_header (sflowtool)
    flow_records counter_records pdus rtmetrics rtflows      counted structures inside this one

This is data only. `analytics.core.wire.rows` compiles it for the decoder, so a new structure is one new row here.
"""

from __future__ import annotations

from typing import NamedTuple

from analytics.core.wire.reasons import DROP_REASONS

Tag = tuple[int, int]
"""(enterprise, format)"""


class Field(NamedTuple):
    """One field on the wire."""

    name: str
    type: str = "u32"
    hidden_if_empty: bool = False
    optional: bool = False


class Shown(NamedTuple):
    """One printed field where names or order are not those of the wire: `field` under `name`.

    `protocol` limits it to records whose second field, IPProtocol, has that number; `type` reads the same bytes
    differently (`word`; `last_as` and `first_as` of an as_path).
    """

    name: str
    field: str
    protocol: int | None = None
    type: str | None = None


class Structure(NamedTuple):
    """One structure: `name` is the specification's, `label` the (key, value) that sflowtool prints behind the tag."""

    tag: Tag
    name: str
    fields: tuple[Field, ...]
    label: tuple[str, str] | None
    shown: tuple[Shown, ...]

    @property
    def text(self) -> str:
        """The tag as it is printed, `0:1003`."""
        return f"{self.tag[0]}:{self.tag[1]}"


def fields_of(words: str, prefix: str = "") -> tuple[Field, ...]:
    """Read the `name:type` words of a row; `prefix` is glued to each name."""
    fields = []
    for word in words.split():
        name, _, kind = word.partition(":")
        hidden = name.startswith("[")
        name = name.strip("[]")
        fields.append(Field(prefix + name, kind.rstrip("?") or "u32", hidden, kind.endswith("?")))
    return tuple(fields)


def row(
    tag: Tag,
    name: str,
    words: str,
    *,
    label: str = "",
    key: str = "extendedType",
    prefix: str = "",
    shown: tuple[Shown, ...] = (),
) -> Structure:
    """One row of the table."""
    fields = fields_of(words, prefix)
    printed = tuple(one._replace(name=prefix + one.name, field=prefix + one.field) for one in shown)
    whole = printed or tuple(Shown(field.name, field.name) for field in fields)
    return Structure(tag, name, fields, (key, label) if label else None, whole)


def table(*rows: Structure) -> dict[Tag, Structure]:
    """By tag."""
    return {one.tag: one for one in rows}


def sample(tag: Tag, name: str, label: str, words: str, shown: tuple[Shown, ...] = ()) -> Structure:
    return row(tag, name, words, label=label, key="sampleType", shown=shown)


SAMPLES = table(
    sample((0, 1), "flow_sample", "FLOWSAMPLE", """sampleSequenceNo sourceId:source meanSkipCount samplePool
        dropEvents inputPort:port outputPort:port elements:flow_records"""),
    sample((0, 2), "counters_sample", "COUNTERSSAMPLE",
           "sampleSequenceNo sourceId:source elements:counter_records"),
    sample((0, 3), "flow_sample_expanded", "FLOWSAMPLE", """sampleSequenceNo sourceId:source2 meanSkipCount samplePool
        dropEvents inputPort:port2 outputPort:port2 elements:flow_records"""),
    sample((0, 4), "counters_sample_expanded", "COUNTERSSAMPLE",
           "sampleSequenceNo sourceId:source2 elements:counter_records"),
    sample((0, 5), "discarded_packet", "DISCARD", """sampleSequenceNo sourceId:source2 dropEvents inputPort outputPort
        discardCode elements:flow_records""",
           (*(Shown(name, name) for name in (
               "sampleSequenceNo", "sourceId", "dropEvents", "inputPort", "outputPort", "discardCode")),
            Shown("discardReason", "discardCode", type="word"), Shown("elements", "elements"))),
    sample((4300, 1002), "rtmetric", "RTMETRIC", "rtmetric_datasource_name:str metrics:rtmetrics"),
    sample((4300, 1003), "rtflow", "RTFLOW", """rtflow_datasource_name:str rtflow_sampling_rate rtflow_sample_pool
        fields:rtflows"""),
)  # fmt: skip

PORTS = (Shown("ICMPType", "dst_port", 1), Shown("TCPSrcPort", "src_port", 6), Shown("TCPDstPort", "dst_port", 6),
         Shown("TCPFlags", "tcp_flags", 6), Shown("UDPSrcPort", "src_port", 17),
         Shown("UDPDstPort", "dst_port", 17))  # fmt: skip
ETHERNET = "ethernet_len ethernet_src:mac ethernet_dst:mac ethernet_type"
ETHERNET_SHOWN = tuple(Shown(name, name) for name in ("ethernet_type", "ethernet_len", "ethernet_src", "ethernet_dst"))
IPV4 = "sampledPacketSize IPProtocol srcIP:ip4 dstIP:ip4 src_port dst_port tcp_flags IPTOS"
IPV4_SHOWN = (Shown("sampledPacketSize", "sampledPacketSize"), Shown("IPSize", "sampledPacketSize"),
              *(Shown(name, name) for name in ("srcIP", "dstIP", "IPProtocol", "IPTOS")), *PORTS)  # fmt: skip
IPV6 = "sampledPacketSize IPProtocol srcIP6:ip6 dstIP6:ip6 src_port dst_port tcp_flags priority"
IPV6_SHOWN = (Shown("sampledPacketSize", "sampledPacketSize"), Shown("IPSize", "sampledPacketSize"),
              *(Shown(name, name) for name in ("srcIP6", "dstIP6", "IPProtocol", "priority")), *PORTS)  # fmt: skip


def packet(tag: int, name: str, label: str, words: str, shown: tuple[Shown, ...] = (), prefix: str = "") -> Structure:
    """A record that describes a packet: sflowtool says flowSampleType and not extendedType."""
    return row((0, tag), name, words, label=label, key="flowSampleType", shown=shown, prefix=prefix)


def extended(tag: int, name: str, label: str, words: str, shown: tuple[Shown, ...] = (), prefix: str = "") -> Structure:
    return row((0, tag), name, words, label=label, shown=shown, prefix=prefix)


def in_order(*names: str) -> tuple[Shown, ...]:
    return tuple(Shown(name, name) for name in names)


SOCKET4 = "ip_protocol local_ip:ip4 remote_ip:ip4 local_port remote_port"
SOCKET6 = SOCKET4.replace("ip4", "ip6")
HTTP = "[http_uri]:str [http_host]:str [http_referrer]:str [http_useragent]:str"
NAV_TIMING = """type redirect_count
    navigation_start unload_start unload_end redirect_start redirect_end fetch_start dns_start dns_end
    connect_start connect_end secure_start request_start response_start response_end dom_loading dom_interactive
    dom_content_loaded_start dom_content_loaded_end dom_complete load_start load_end"""

FLOW_RECORDS = table(
    packet(1, "sampled_header", "HEADER", "headerProtocol sampledPacketSize strippedBytes header:header"),
    packet(2, "sampled_ethernet", "ETHERNET", ETHERNET, ETHERNET_SHOWN),
    packet(3, "sampled_ipv4", "IPV4", IPV4, IPV4_SHOWN),
    packet(4, "sampled_ipv6", "IPV6", IPV6, IPV6_SHOWN),
    extended(1001, "extended_switch", "SWITCH", "in_vlan in_priority out_vlan out_priority"),
    extended(1002, "extended_router", "ROUTER", "nextHop:addr srcSubnetMask dstSubnetMask"),
    extended(1003, "extended_gateway", "GATEWAY", """bgp_nexthop:addr my_as src_as src_peer_as [dst_as_path]:as_path
        [BGP_communities]:u32s BGP_localpref""",
             (*in_order("bgp_nexthop", "my_as", "src_as", "src_peer_as", "dst_as_path"),
              Shown("dst_as", "dst_as_path", type="last_as"), Shown("dst_peer_as", "dst_as_path", type="first_as"),
              *in_order("BGP_communities", "BGP_localpref"))),
    extended(1004, "extended_user", "USER", "src_user_charset src_user:str dst_user_charset dst_user:str",
             in_order("src_user_charset", "dst_user_charset", "src_user", "dst_user")),
    extended(1005, "extended_url", "URL", "url_direction url:str host:str"),
    extended(1006, "extended_mpls", "MPLS",
             "mpls_nexthop:addr [mpls_input_stack]:labels [mpls_output_stack]:labels"),
    extended(1007, "extended_nat", "NAT", "nat_src:addr nat_dst:addr"),
    extended(1008, "extended_mpls_tunnel", "", "[mpls_tunnel_lsp_name]:str mpls_tunnel_id mpls_tunnel_cos"),
    extended(1009, "extended_mpls_vc", "", "[mpls_vc_name]:str mpls_vll_vc_id mpls_vc_cos"),
    extended(1010, "extended_mpls_FTN", "", "[mpls_ftn_descr]:str mpls_ftn_mask"),
    extended(1011, "extended_mpls_LDP_FEC", "", "mpls_fec_addr_prefix_len"),
    extended(1012, "extended_vlantunnel", "", "[vlan_tunnel]:vlans"),
    extended(1013, "extended_80211_payload", "", "cipher_suite payload:payload"),
    extended(1014, "extended_80211_rx", "", """[rx_SSID]:str rx_BSSID:mac rx_version rx_channel rx_speed:u64 rx_rsni
        rx_rcpi rx_packet_uS"""),
    extended(1015, "extended_80211_tx", "", """[tx_SSID]:str tx_BSSID:mac tx_version tx_transmissions tx_packet_uS
        tx_retrans_uS tx_channel tx_speed:u64 tx_power_mW"""),
    extended(1016, "extended_80211_aggregation", "", "pdus:pdus"),
    extended(1017, "extended_openflow_v1", "", "openflow_cookie:u64 openflow_match_actions:rest"),
    extended(1018, "extended_fc", "", "fc_src_mask_len fc_dst_mask_len fc_next_hop fc_metric"),
    extended(1019, "extended_queue_length", "", "queue_index queue_length"),
    extended(1020, "extended_nat_port", "NAT PORT", "nat_src_port nat_dst_port"),
    packet(1021, "extended_L2_tunnel_egress", "tunnel_l2_out_ETHERNET", ETHERNET, ETHERNET_SHOWN, "tunnel_l2_out_"),
    packet(1022, "extended_L2_tunnel_ingress", "tunnel_l2_in_ETHERNET", ETHERNET, ETHERNET_SHOWN, "tunnel_l2_in_"),
    packet(1023, "extended_ipv4_tunnel_egress", "tunnel_ipv4_out_IPV4", IPV4, IPV4_SHOWN, "tunnel_ipv4_out_"),
    packet(1024, "extended_ipv4_tunnel_ingress", "tunnel_ipv4_in_IPV4", IPV4, IPV4_SHOWN, "tunnel_ipv4_in_"),
    packet(1025, "extended_ipv6_tunnel_egress", "tunnel_ipv6_out_IPV6", IPV6, IPV6_SHOWN, "tunnel_ipv6_out_"),
    packet(1026, "extended_ipv6_tunnel_ingress", "tunnel_ipv6_in_IPV6", IPV6, IPV6_SHOWN, "tunnel_ipv6_in_"),
    extended(1027, "extended_decapsulate_egress", "out_decap", "out_decap_inner_header_offset"),
    extended(1028, "extended_decapsulate_ingress", "in_decap", "in_decap_inner_header_offset"),
    extended(1029, "extended_vni_egress", "out_VNI", "out_VNI"),
    extended(1030, "extended_vni_ingress", "in_VNI", "in_VNI"),
    extended(1031, "extended_ib_lrh", "", "src_vl src_sl src_dlid src_slid src_lnh dst_vl dst_sl dst_dlid dst_slid "
             "dst_lnh", prefix="ib_"),
    extended(1032, "extended_ib_grh", "", "flow_label tc s_gid:ip6 d_gid:ip6 next_header length", prefix="ib_"),
    extended(1033, "extended_ib_bth", "", "pkey dst_qp opcode", prefix="ib_"),
    extended(1034, "extended_vlanin", "", "[in_vlan_stack]:vlans"),
    extended(1035, "extended_vlanout", "", "[out_vlan_stack]:vlans"),
    extended(1036, "extended_egress_queue", "egress_queue", "egress_queue_id"),
    extended(1037, "extended_acl", "", "acl_number [acl_name]:str acl_direction"),
    extended(1038, "extended_function", "function", "[symbol]:str"),
    extended(1039, "extended_transit", "transit_delay", "transit_delay_nS"),
    extended(1040, "extended_queue", "queue_depth", "queue_depth_bytes"),
    extended(1041, "extended_hw_trap", "hw_trap", "[hw_trap_group]:str [hw_trap_name]:str"),
    extended(1042, "extended_linux_drop_reason", "linux_reason", "[linux_drop_reason]:str"),
    extended(1043, "extended_timestamp", "timestamp", "timestamp_nS:u64"),
    extended(2000, "transaction", "", "transaction_direction transaction_wait_uS transaction_duration_uS "
             "transaction_status transaction_bytes_received:u64 transaction_bytes_sent:u64"),
    extended(2001, "extended_nfs_storage_transaction", "", "nfs_path:opaque nfs_operation nfs_status"),
    extended(2002, "extended_scsi_storage_transaction", "", "scsi_lun scsi_operation scsi_status"),
    extended(2003, "extended_http_transaction", "", """[http_url]:str [http_host]:str [http_referrer]:str
        [http_useragent]:str [http_user]:str http_status"""),
    extended(2100, "extended_socket_ipv4", "socket4", SOCKET4, prefix="socket4_"),
    extended(2101, "extended_socket_ipv6", "socket6", SOCKET6, prefix="socket6_"),
    extended(2102, "extended_proxy_socket_ipv4", "proxy_socket4", SOCKET4, prefix="proxy_socket4_"),
    extended(2103, "extended_proxy_socket_ipv6", "proxy_socket6", SOCKET6, prefix="proxy_socket6_"),
    packet(2200, "memcache_operation", "memcache", "protocol cmd [key]:str nkeys value_bytes duration_uS status",
           prefix="memcache_op_"),
    packet(2201, "http_request_deprecated", "http", f"""http_method http_protocol {HTTP} [http_authuser]:str
        [http_mimetype]:str http_bytes:u64 http_duration_uS http_status"""),
    packet(2202, "app_operation", "applicationOperation", """[application]:str [operation]:str [attributes]:str
        [status_descr]:str request_bytes:u64 response_bytes:u64 duration_uS status:word"""),
    extended(2203, "app_parent_context", "", "[application]:str [operation]:str [attributes]:str",
             prefix="server_context_"),
    extended(2204, "app_initiator", "", "[actor_initiator]:str"),
    extended(2205, "app_target", "", "[actor_target]:str"),
    packet(2206, "http_request", "http", f"""http_method http_protocol {HTTP} [http_xff]:str [http_authuser]:str
        [http_mimetype]:str http_request_bytes:u64 http_bytes:u64 http_duration_uS http_status:i32"""),
    extended(2207, "extended_proxy_request", "", "[proxy_uri]:str [proxy_host]:str"),
    extended(2208, "extended_nav_timing", "", " ".join(f"{name}:u32?" for name in NAV_TIMING.split()),
             prefix="nav_timing_"),
    extended(2209, "extended_tcp_info", "", """direction:word send_mss receive_mss unacked_pkts lost_pkts retrans_pkts
        path_mtu rtt_uS rtt_uS_var send_congestion_win reordering rtt_uS_min""", prefix="tcpinfo_"),
    extended(2210, "extended_entities", "entities", "src_class src_index dst_class dst_index", prefix="entities_"),
    row((4413, 1), "extended_bst_egress_queue", "bst_egress_queue"),
)  # fmt: skip


def counters(tag: int, name: str, words: str, prefix: str = "", enterprise: int = 0) -> Structure:
    return row((enterprise, tag), name, words, prefix=prefix)


IO = "bytes_in:u64 pkts_in errs_in drops_in bytes_out:u64 pkts_out errs_out drops_out"

COUNTER_RECORDS = table(
    counters(1, "if_counters", """ifIndex networkType ifSpeed:u64 ifDirection ifStatus ifInOctets:u64 ifInUcastPkts
        ifInMulticastPkts ifInBroadcastPkts ifInDiscards ifInErrors ifInUnknownProtos ifOutOctets:u64 ifOutUcastPkts
        ifOutMulticastPkts ifOutBroadcastPkts ifOutDiscards ifOutErrors ifPromiscuousMode"""),
    counters(2, "ethernet_counters", """AlignmentErrors FCSErrors SingleCollisionFrames MultipleCollisionFrames
        SQETestErrors DeferredTransmissions LateCollisions ExcessiveCollisions InternalMacTransmitErrors
        CarrierSenseErrors FrameTooLongs InternalMacReceiveErrors SymbolErrors""", "dot3Stats"),
    counters(3, "tokenring_counters", """LineErrors BurstErrors ACErrors AbortTransErrors InternalErrors
        LostFrameErrors ReceiveCongestions FrameCopiedErrors TokenErrors SoftErrors HardErrors SignalLoss
        TransmitBeacons Recoverys LobeWires Removes Singles FreqErrors""", "dot5Stats"),
    counters(4, "vg_counters", """InHighPriorityFrames InHighPriorityOctets:u64 InNormPriorityFrames
        InNormPriorityOctets:u64 InIPMErrors InOversizeFrameErrors InDataErrors InNullAddressedFrames
        OutHighPriorityFrames OutHighPriorityOctets:u64 TransitionIntoTrainings HCInHighPriorityOctets:u64
        HCInNormPriorityOctets:u64 HCOutHighPriorityOctets:u64""", "dot12"),
    counters(5, "vlan_counters", "in_vlan octets:u64 ucastPkts multicastPkts broadcastPkts discards"),
    counters(6, "ieee80211_counters", """TransmittedFragmentCount MulticastTransmittedFrameCount FailedCount RetryCount
        MultipleRetryCount FrameDuplicateCount RTSSuccessCount RTSFailureCount ACKFailureCount ReceivedFragmentCount
        MulticastReceivedFrameCount FCSErrorCount TransmittedFrameCount WEPUndecryptableCount
        QoSDiscardedFragmentCount AssociatedStationCount QoSCFPollsReceivedCount QoSCFPollsUnusedCount
        QoSCFPollsUnusableCount QoSCFPollsLostCount""", "dot11"),
    counters(7, "lag_port_stats", """actorSystemID:mac partnerSystemID:mac attachedAggID actorAdminPortState:u8
        actorOperPortState:u8 partnerAdminPortState:u8 partnerOperPortState:u8 LACPDUsRx markerPDUsRx
        markerResponsePDUsRx unknownRx illegalRx LACPDUsTx markerPDUsTx markerResponsePDUsTx"""),
    counters(8, "slow_path_counts", "unknown other cam_miss cam_full no_hw_support cntrl", "slow_path_"),
    counters(9, "ib_counters", """xmit_pkts:u64 rcv_pkts:u64 symbol_errors link_recoveries link_downed rcv_errors
        rcv_remote_phys_errors rcv_switch_relay_errors xmit_discards xmit_constraint_errors rcv_constraint_errors
        local_link_integrity_errors excess_buffer_overruns vl15_dropped""", "ib_"),
    counters(10, "sfp", """sfp_module_id sfp_module_total_lanes sfp_module_supply_voltage sfp_module_temperature:i32
        sfp_lanes:lanes"""),
    counters(11, "pfc", "requests indications pause_duration storm_detected storm_restored", "PFC_"),
    counters(1001, "processor", """5s_cpu:percent 1m_cpu:percent 5m_cpu:percent total_memory_bytes:u64
        free_memory_bytes:u64"""),
    counters(1002, "radio_utilization", "elapsed_time on_channel_time on_channel_busy_time", "radio_"),
    counters(1003, "queue_length", """index segment_size segments length_0 length_1 length_2 length_4 length_8
        length_32 length_128 length_1024 length_more dropped""", "queue_"),
    counters(1004, "of_port", "openflow_datapath_id:dpid openflow_port"),
    counters(1005, "port_name", "[ifName]:str"),
    counters(2000, "host_descr", "[hostname]:str UUID:uuid machine_type os_name [os_release]:str"),
    counters(2001, "host_adapters", "adaptor_list:adapters"),
    counters(2002, "host_parent", "parent_dsClass parent_dsIndex"),
    counters(2003, "host_cpu", """cpu_load_one:f32 cpu_load_five:f32 cpu_load_fifteen:f32 cpu_proc_run cpu_proc_total
        cpu_num cpu_speed cpu_uptime cpu_user cpu_nice cpu_system cpu_idle cpu_wio cpuintr cpu_sintr cpuinterrupts
        cpu_contexts cpu_steal:u32? cpu_guest:u32? cpu_guest_nice:u32?"""),
    counters(2004, "host_memory", """mem_total:u64 mem_free:u64 mem_shared:u64 mem_buffers:u64 mem_cached:u64
        swap_total:u64 swap_free:u64 page_in page_out swap_in swap_out"""),
    counters(2005, "host_disk_io", """disk_total:u64 disk_free:u64 disk_partition_max_used:percent disk_reads
        disk_bytes_read:u64 disk_read_time disk_writes disk_bytes_written:u64 disk_write_time"""),
    counters(2006, "host_net_io", IO, "nio_"),
    counters(2007, "mib2_ip_group", """Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams
        InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs
        ReasmFails FragOKs FragFails FragCreates""", "ip"),
    counters(2008, "mib2_icmp_group", """InMsgs InErrors InDestUnreachs InTimeExcds InParamProbs InSrcQuenchs
        InRedirects InEchos InEchoReps InTimestamps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutDestUnreachs
        OutTimeExcds OutParamProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps
        OutAddrMasks OutAddrMaskReps""", "icmp"),
    counters(2009, "mib2_tcp_group", """RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails
        EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors""", "tcp"),
    counters(2010, "mib2_udp_group", """InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
        InCsumErrors""", "udp"),
    counters(2100, "virt_node", "mhz cpus memory:u64 memory_free:u64 num_domains", "vnode_"),
    counters(2101, "virt_cpu", "state cpu_mS cpuCount", "vcpu_"),
    counters(2102, "virt_memory", "memory:u64 maxMemory:u64", "vmem_"),
    counters(2103, "virt_disk_io", """capacity:u64 allocation:u64 available:u64 rd_req rd_bytes:u64 wr_req
        wr_bytes:u64 errs""", "vdsk_"),
    counters(2104, "virt_net_io", IO, "vnio_"),
    counters(2105, "jmx_runtime", "[jvm_name]:str [jvm_vendor]:str [jvm_version]:str"),
    counters(2106, "jvm_statistics", """heap_mem_initial:u64 heap_mem_used:u64 heap_mem_committed:u64 heap_mem_max:u64
        non_heap_mem_initial:u64 non_heap_mem_used:u64 non_heap_mem_committed:u64 non_heap_mem_max:u64 gc_count gc_mS
        classes_loaded classes_total classes_unloaded compilation_mS threads_live threads_daemon threads_started
        fds_open:u32? fds_max:u32?"""),
    counters(2200, "memcache_counters_deprecated", """uptime rusage_user rusage_system curr_connections
        total_connections connection_structures cmd_get cmd_set cmd_flush get_hits get_misses delete_misses
        delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval auth_cmds auth_errors
        bytes_read:u64 bytes_written:u64 limit_maxbytes accepting_conns listen_disabled_num threads conn_yields
        bytes:u64 curr_items total_items evictions""", "memcache_"),
    counters(2201, "http_counters", """method_option_count method_get_count method_head_count method_post_count
        method_put_count method_delete_count method_trace_count methd_connect_count method_other_count
        status_1XX_count status_2XX_count status_3XX_count status_4XX_count status_5XX_count status_other_count""",
             "http_"),
    counters(2202, "app_operations", """[application]:str status_OK errors_OTHER errors_TIMEOUT errors_INTERNAL_ERROR
        errors_BAD_REQUEST errors_FORBIDDEN errors_TOO_LARGE errors_NOT_IMPLEMENTED errors_NOT_FOUND
        errors_UNAVAILABLE errors_UNAUTHORIZED"""),
    counters(2203, "app_resources", """user_time system_time memory_used:u64 memory_max:u64 files_open files_max
        connections_open connections_max"""),
    counters(2204, "memcache_counters", """cmd_set cmd_touch cmd_flush get_hits get_misses delete_hits delete_misses
        incr_hits incr_misses decr_hits decr_misses cas_hits cas_misses cas_badval auth_cmds auth_errors threads
        conn_yields listen_disabled_num curr_connections rejected_connections total_connections
        connection_structures evictions reclaimed curr_items total_items bytes_read:u64 bytes_written:u64 bytes:u64
        limit_maxbytes:u64""", "memcache_"),
    counters(2205, "vdi_counters", """sessions_current sessions_total sessions_duration rx_bytes tx_bytes rx_packets
        tx_packets rx_packets_lost tx_packets_lost rtt_min_ms rtt_max_ms rtt_avg_ms audio_rx_bytes audio_tx_bytes
        audio_tx_limit img_rx_bytes img_tx_bytes img_frames img_qual_min img_qual_max img_qual_avg usb_rx_bytes
        usb_tx_bytes""", "vdi_"),
    counters(2206, "app_workers", "workers_active workers_idle workers_max requests_delayed requests_dropped"),
    counters(2207, "ovs_dp_stats", "hits misses lost mask_hits flows masks", "OVS_dp_"),
    counters(3000, "energy", "voltage_mV current_mA real_power_mW power_factor:i32 energy_mJ errors", "energy_"),
    counters(3001, "temperature", "minimum:i32 maximum:i32 errors", "temperature_"),
    counters(3002, "humidity", "humidity_relative:i32"),
    counters(3003, "fans", "total failed speed", "fan_"),
    counters(2, "xenserver_vif", "", enterprise=4300),
    counters(1, "bst_device_buffers", "device_uc_pc:percent device_mc_pc:percent", "bst_", 4413),
    counters(2, "bst_port_buffers", """ingress_uc_pc:percent ingress_mc_pc:percent egress_uc_pc:percent
        egress_mc_pc:percent egress_queue_uc_pc:percents egress_queue_mc_pc:percents""", "bst_", 4413),
    counters(3, "hw_tables", """asic_host_entries host_entries_max ipv4_entries ipv4_entries_max ipv6_entries
        ipv6_entries_max ipv4_ipv6_entries ipv4_ipv6_entries_max long_ipv6_entries long_ipv6_entries_max total_routes
        total_routes_max ecmp_nexthops ecmp_nexthops_max mac_entries mac_entries_max ipv4_neighbors ipv6_neighbors
        ipv4_routes ipv6_routes
        acl_ingress_entries acl_ingress_entries_max acl_ingress_counters acl_ingress_counters_max acl_ingress_meters
        acl_ingress_meters_max acl_ingress_slices acl_ingress_slices_max
        acl_egress_entries acl_egress_entries_max acl_egress_counters acl_egress_counters_max acl_egress_meters
        acl_egress_meters_max acl_egress_slices acl_egress_slices_max""", "bcm_", 4413),
    counters(1, "nvidia_gpu", """device_count processes gpu_mS mem_mS mem_bytes_total:u64 mem_bytes_free:u64 ecc_errors
        energy_mJ temperature_C fan_speed_pc""", "nvml_", 5703),
)  # fmt: skip

WORDS: dict[str, dict[int, str]] = {
    "tcpinfo_direction": dict(enumerate(("unknown", "received", "sent"))),
    "status": dict(enumerate((
        "SUCCESS", "OTHER", "TIMEOUT", "INTERNAL_ERROR", "BAD_REQUEST", "FORBIDDEN", "TOO_LARGE", "NOT_IMPLEMENTED",
        "NOT_FOUND", "UNAVAILABLE", "UNATHORIZED"))),
    "discardReason": DROP_REASONS,
}  # fmt: skip
"""What the numbers of `word` fields stand for; others print as WORD_UNKNOWN says."""

WORD_UNKNOWN = {"tcpinfo_direction": "<bad value>", "status": "<out-of-range={}>", "discardReason": "NotFound"}
