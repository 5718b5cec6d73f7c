"""One hand-built example of every counter record: (enterprise, format) -> (bytes, the JSON fields they mean).

Widths are written as struct formats and names are spelled out again, so the table under test cannot vouch for itself.
"""

from __future__ import annotations

import struct
from typing import Any

from tests.analytics.examples.wire import opaque, words

Example = tuple[bytes, dict[str, Any]]


def numbers(form: str, names: str, prefix: str = "") -> Example:
    """Consecutive numbers from 1 on in a struct format; those of 64 bits have 2^40 added, so widths can be seen."""
    plain = expand(form)
    values = [number + (1 << 40 if kind == "Q" else 0) for number, kind in enumerate(plain, 1)]
    assert len(values) == len(names.split()), (len(values), len(names.split()))
    return struct.pack(">" + plain, *values), {
        prefix + name: str(value) for name, value in zip(names.split(), values, strict=True)
    }


def expand(form: str) -> str:
    """`3IQ` -> `IIIQ`."""
    made, count = "", ""
    for c in form:
        if c.isdigit():
            count += c
        else:
            made, count = made + c * int(count or 1), ""
    return made


MAC = bytes.fromhex("0004deadbeef") + b"\x7f\x01"  # the padding is not zero: agents leave stale bytes there
CPU = """cpu_proc_run cpu_proc_total cpu_num cpu_speed cpu_uptime
    cpu_user cpu_nice cpu_system cpu_idle cpu_wio cpuintr cpu_sintr cpuinterrupts cpu_contexts cpu_steal
    cpu_guest cpu_guest_nice"""

COUNTERS: dict[tuple[int, int], Example] = {
    (0, 1): numbers("2IQ2IQ6IQ6I", """ifIndex networkType ifSpeed ifDirection ifStatus ifInOctets ifInUcastPkts
        ifInMulticastPkts ifInBroadcastPkts ifInDiscards ifInErrors ifInUnknownProtos ifOutOctets ifOutUcastPkts
        ifOutMulticastPkts ifOutBroadcastPkts ifOutDiscards ifOutErrors ifPromiscuousMode"""),
    (0, 2): numbers("13I", """AlignmentErrors FCSErrors SingleCollisionFrames MultipleCollisionFrames SQETestErrors
        DeferredTransmissions LateCollisions ExcessiveCollisions InternalMacTransmitErrors CarrierSenseErrors
        FrameTooLongs InternalMacReceiveErrors SymbolErrors""", "dot3Stats"),
    (0, 3): numbers("18I", """LineErrors BurstErrors ACErrors AbortTransErrors InternalErrors LostFrameErrors
        ReceiveCongestions FrameCopiedErrors TokenErrors SoftErrors HardErrors SignalLoss TransmitBeacons Recoverys
        LobeWires Removes Singles FreqErrors""", "dot5Stats"),
    (0, 4): numbers("IQIQ5IQI3Q", """InHighPriorityFrames InHighPriorityOctets InNormPriorityFrames
        InNormPriorityOctets InIPMErrors InOversizeFrameErrors InDataErrors InNullAddressedFrames
        OutHighPriorityFrames OutHighPriorityOctets TransitionIntoTrainings HCInHighPriorityOctets
        HCInNormPriorityOctets HCOutHighPriorityOctets""", "dot12"),
    (0, 5): numbers("IQ4I", "in_vlan octets ucastPkts multicastPkts broadcastPkts discards"),
    (0, 6): numbers("20I", """TransmittedFragmentCount MulticastTransmittedFrameCount FailedCount RetryCount
        MultipleRetryCount FrameDuplicateCount RTSSuccessCount RTSFailureCount ACKFailureCount ReceivedFragmentCount
        MulticastReceivedFrameCount FCSErrorCount TransmittedFrameCount WEPUndecryptableCount
        QoSDiscardedFragmentCount AssociatedStationCount QoSCFPollsReceivedCount QoSCFPollsUnusedCount
        QoSCFPollsUnusableCount QoSCFPollsLostCount""", "dot11"),
    (0, 7): (
        MAC + bytes.fromhex("000102030405ffff") + words(9) + bytes([61, 62, 63, 128]) + words(*range(1, 9)),
        {"actorSystemID": "0004deadbeef", "partnerSystemID": "000102030405", "attachedAggID": "9",
         "actorAdminPortState": "61", "actorOperPortState": "62", "partnerAdminPortState": "63",
         "partnerOperPortState": "128", "LACPDUsRx": "1", "markerPDUsRx": "2", "markerResponsePDUsRx": "3",
         "unknownRx": "4", "illegalRx": "5", "LACPDUsTx": "6", "markerPDUsTx": "7", "markerResponsePDUsTx": "8"},
    ),
    (0, 8): numbers("6I", "unknown other cam_miss cam_full no_hw_support cntrl", "slow_path_"),
    (0, 9): numbers("2Q12I", """xmit_pkts rcv_pkts symbol_errors link_recoveries link_downed rcv_errors
        rcv_remote_phys_errors rcv_switch_relay_errors xmit_discards xmit_constraint_errors rcv_constraint_errors
        local_link_integrity_errors excess_buffer_overruns vl15_dropped""", "ib_"),
    (0, 10): (
        struct.pack(">IIIi", 1, 4, 3300, -5000) + words(2) + words(*range(1, 11)) + words(*range(11, 21)),
        {"sfp_module_id": "1", "sfp_module_total_lanes": "4", "sfp_module_supply_voltage": "3300",
         "sfp_module_temperature": "-5000", "sfp_module_active_lanes": "2", "sfp_lanes": [
             {name: str(base + index) for index, short in enumerate((
                 "index", "tx_bias_current_uA", "tx_power_uW", "tx_power_min_uW", "tx_power_max_uW",
                 "tx_wavelength_nM", "rx_power_uW", "rx_power_min_uW", "rx_power_max_uW", "rx_wavelength_nM"))
              for name in (short, f"sfp_lane_{short}.{lane}")} for lane, base in enumerate((1, 11))]},
    ),
    (0, 11): numbers("5I", "requests indications pause_duration storm_detected storm_restored", "PFC_"),
    (0, 1001): (
        struct.pack(">iiiQQ", 5, 1234, -1, 1 << 40, 1 << 39),
        {"5s_cpu": "0.05", "1m_cpu": "12.34", "5m_cpu": "unknown", "total_memory_bytes": "1099511627776",
         "free_memory_bytes": "549755813888"},
    ),
    (0, 1002): numbers("3I", "elapsed_time on_channel_time on_channel_busy_time", "radio_"),
    (0, 1003): numbers("13I", """index segment_size segments length_0 length_1 length_2 length_4 length_8 length_32
        length_128 length_1024 length_more dropped""", "queue_"),
    (0, 1004): (
        struct.pack(">QI", 0xCAFE, 7), {"openflow_datapath_id": "000000000000cafe", "openflow_port": "7"},
    ),
    (0, 1005): (opaque(b"leaf1-eth1"), {"ifName": "leaf1-eth1"}),
    (0, 2000): (
        opaque(b"h1.example.net") + bytes(range(16)) + words(3, 2) + opaque(b"6.1.0-13"),
        {"hostname": "h1.example.net", "UUID": "00010203-0405-0607-0809-0a0b0c0d0e0f", "machine_type": "3",
         "os_name": "2", "os_release": "6.1.0-13"},
    ),
    (0, 2001): (
        words(2) + words(5, 2) + MAC + bytes.fromhex("0000000000010000") + words(6, 0),
        {"adaptor_list": [{"ifIndex": "5", "MACs": "2", "mac_list": ["0004deadbeef", "000000000001"]},
                          {"ifIndex": "6", "MACs": "0", "mac_list": []}]},
    ),
    (0, 2002): numbers("2I", "parent_dsClass parent_dsIndex"),
    (0, 2003): (
        struct.pack(">fff", 0.25, -1.0, 12.5) + words(*range(4, 21)),
        {"cpu_load_one": "0.250", "cpu_load_five": "-1.000", "cpu_load_fifteen": "12.500"}
        | {name: str(number) for number, name in enumerate(CPU.split(), 4)},
    ),
    (0, 2004): numbers("7Q4I", """mem_total mem_free mem_shared mem_buffers mem_cached swap_total swap_free page_in
        page_out swap_in swap_out"""),
    (0, 2005): (
        struct.pack(">QQIIQIIQI", 1 << 40, 2, 9950, 4, 5, 6, 7, 1 << 41, 9),
        {"disk_total": "1099511627776", "disk_free": "2", "disk_partition_max_used": "99.50", "disk_reads": "4",
         "disk_bytes_read": "5", "disk_read_time": "6", "disk_writes": "7", "disk_bytes_written": "2199023255552",
         "disk_write_time": "9"},
    ),
    (0, 2006): numbers("Q3IQ3I", "bytes_in pkts_in errs_in drops_in bytes_out pkts_out errs_out drops_out", "nio_"),
    (0, 2007): numbers("19I", """Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams
        InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs
        ReasmFails FragOKs FragFails FragCreates""", "ip"),
    (0, 2008): numbers("25I", """InMsgs InErrors InDestUnreachs InTimeExcds InParamProbs InSrcQuenchs InRedirects
        InEchos InEchoReps InTimestamps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutDestUnreachs OutTimeExcds
        OutParamProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks
        OutAddrMaskReps""", "icmp"),
    (0, 2009): numbers("15I", """RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets
        CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors""", "tcp"),
    (0, 2010): numbers("7I", "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors", "udp"),
    (0, 2100): numbers("2I2QI", "mhz cpus memory memory_free num_domains", "vnode_"),
    (0, 2101): numbers("3I", "state cpu_mS cpuCount", "vcpu_"),
    (0, 2102): numbers("2Q", "memory maxMemory", "vmem_"),
    (0, 2103): numbers("3QIQIQI", "capacity allocation available rd_req rd_bytes wr_req wr_bytes errs", "vdsk_"),
    (0, 2104): numbers("Q3IQ3I", "bytes_in pkts_in errs_in drops_in bytes_out pkts_out errs_out drops_out", "vnio_"),
    (0, 2105): (
        opaque(b"OpenJDK") + opaque(b"Oracle") + opaque(b"21"),
        {"jvm_name": "OpenJDK", "jvm_vendor": "Oracle", "jvm_version": "21"},
    ),
    (0, 2106): numbers("8Q11I", """heap_mem_initial heap_mem_used heap_mem_committed heap_mem_max non_heap_mem_initial
        non_heap_mem_used non_heap_mem_committed non_heap_mem_max gc_count gc_mS classes_loaded classes_total
        classes_unloaded compilation_mS threads_live threads_daemon threads_started fds_open fds_max"""),
    (0, 2200): numbers("22I2Q5IQ3I", """uptime rusage_user rusage_system curr_connections total_connections
        connection_structures cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits incr_misses
        incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval auth_cmds auth_errors bytes_read bytes_written
        limit_maxbytes accepting_conns listen_disabled_num threads conn_yields bytes curr_items total_items
        evictions""", "memcache_"),
    (0, 2201): numbers("15I", """method_option_count method_get_count method_head_count method_post_count
        method_put_count method_delete_count method_trace_count methd_connect_count method_other_count
        status_1XX_count status_2XX_count status_3XX_count status_4XX_count status_5XX_count status_other_count""",
        "http_"),
    (0, 2202): (
        opaque(b"shop") + words(*range(1, 12)),
        {"application": "shop", "status_OK": "1", "errors_OTHER": "2", "errors_TIMEOUT": "3",
         "errors_INTERNAL_ERROR": "4", "errors_BAD_REQUEST": "5", "errors_FORBIDDEN": "6", "errors_TOO_LARGE": "7",
         "errors_NOT_IMPLEMENTED": "8", "errors_NOT_FOUND": "9", "errors_UNAVAILABLE": "10",
         "errors_UNAUTHORIZED": "11"},
    ),
    (0, 2203): numbers("2I2Q4I", """user_time system_time memory_used memory_max files_open files_max connections_open
        connections_max"""),
    (0, 2204): numbers("27I4Q", """cmd_set cmd_touch cmd_flush get_hits get_misses delete_hits delete_misses incr_hits
        incr_misses decr_hits decr_misses cas_hits cas_misses cas_badval auth_cmds auth_errors threads conn_yields
        listen_disabled_num curr_connections rejected_connections total_connections connection_structures evictions
        reclaimed curr_items total_items bytes_read bytes_written bytes limit_maxbytes""", "memcache_"),
    (0, 2205): numbers("23I", """sessions_current sessions_total sessions_duration rx_bytes tx_bytes rx_packets
        tx_packets rx_packets_lost tx_packets_lost rtt_min_ms rtt_max_ms rtt_avg_ms audio_rx_bytes audio_tx_bytes
        audio_tx_limit img_rx_bytes img_tx_bytes img_frames img_qual_min img_qual_max img_qual_avg usb_rx_bytes
        usb_tx_bytes""", "vdi_"),
    (0, 2206): numbers("5I", "workers_active workers_idle workers_max requests_delayed requests_dropped"),
    (0, 2207): numbers("6I", "hits misses lost mask_hits flows masks", "OVS_dp_"),
    (0, 3000): (
        struct.pack(">IIIiII", 230000, 1500, 345000, -9900, 5, 6),
        {"energy_voltage_mV": "230000", "energy_current_mA": "1500", "energy_real_power_mW": "345000",
         "energy_power_factor": "-9900", "energy_energy_mJ": "5", "energy_errors": "6"},
    ),
    (0, 3001): (
        struct.pack(">iiI", -105, 415, 2),
        {"temperature_minimum": "-105", "temperature_maximum": "415", "temperature_errors": "2"},
    ),
    (0, 3002): (struct.pack(">i", 45), {"humidity_relative": "45"}),
    (0, 3003): numbers("3I", "total failed speed", "fan_"),
    (4300, 2): (words(1, 2, 3), {"unknownBytes": "00-00-00-01-00-00-00-02-00-00-00-03"}),
    (4413, 1): (
        struct.pack(">ii", 150, -1), {"bst_device_uc_pc": "1.50", "bst_device_mc_pc": "unknown"},
    ),
    (4413, 2): (
        struct.pack(">iiii", 100, 200, 300, 400) + words(3, 1, 2, 10000) + words(0),
        {"bst_ingress_uc_pc": "1.00", "bst_ingress_mc_pc": "2.00", "bst_egress_uc_pc": "3.00",
         "bst_egress_mc_pc": "4.00", "bst_egress_queue_uc_pc": "0.01,0.02,100.00", "bst_egress_queue_mc_pc": ""},
    ),
    (4413, 3): numbers("36I", """asic_host_entries host_entries_max ipv4_entries ipv4_entries_max ipv6_entries
        ipv6_entries_max ipv4_ipv6_entries ipv4_ipv6_entries_max long_ipv6_entries long_ipv6_entries_max total_routes
        total_routes_max ecmp_nexthops ecmp_nexthops_max mac_entries mac_entries_max ipv4_neighbors ipv6_neighbors
        ipv4_routes ipv6_routes acl_ingress_entries acl_ingress_entries_max acl_ingress_counters
        acl_ingress_counters_max acl_ingress_meters acl_ingress_meters_max acl_ingress_slices acl_ingress_slices_max
        acl_egress_entries acl_egress_entries_max acl_egress_counters acl_egress_counters_max acl_egress_meters
        acl_egress_meters_max acl_egress_slices acl_egress_slices_max""", "bcm_"),
    (5703, 1): numbers("4I2Q4I", """device_count processes gpu_mS mem_mS mem_bytes_total mem_bytes_free ecc_errors
        energy_mJ temperature_C fan_speed_pc""", "nvml_"),
}  # fmt: skip
