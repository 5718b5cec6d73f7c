"""Every counter record and the metrics it becomes: hosts, applications, switches, optics, environment."""

from __future__ import annotations

import pytest

from analytics.core.wire.structures import COUNTER_RECORDS
from analytics.metrics.countertable import METRICS, tags_of
from tests.analytics.examples.counter_examples import COUNTERS
from tests.analytics.examples.senders import ADDRESS, Agent, made, two
from tests.analytics.examples.wire import (
    UNKNOWN_COUNTER,
    opaque,
    record,
    words,
)


def test_host_processor():
    head = (0.5, 0.25, 0.125, 3, 200, 4, 2400, 86400)
    found = two(
        made((0, 2003), *head, *[0] * 9, 0, 0, 0),
        made((0, 2003), *head, 1000, 0, 3000, 16000, 0, 0, 0, 500, 70, 0, 0, 0),
    )
    assert found == {
        "load_one": 0.5,
        "load_five": 0.25,
        "load_fifteen": 0.125,
        "load_one_per_cpu": 0.125,
        "proc_run": 3,
        "proc_total": 200,
        "cpu_num": 4,
        "cpu_speed": 2400,
        "uptime": 86400,
        "cpu_user": 5.0,
        "cpu_nice": 0.0,
        "cpu_system": 15.0,
        "cpu_idle": 80.0,
        "cpu_wio": 0.0,
        "cpu_intr": 0.0,
        "cpu_sintr": 0.0,
        "cpu_steal": 0.0,
        "cpu_guest": 0.0,
        "cpu_guest_nice": 0.0,
        "cpu_utilization": 20.0,
        "interrupts": 50.0,
        "contexts": 7.0,
    }


def test_the_short_form_of_the_processor_record_is_no_fault():
    agent = Agent()
    assert agent.send(1000, made((0, 2003), 1.5, -1.0, -1.0, 0, 0, 0, *[0] * 11)) == 0
    assert agent.values(1000) == {"load_one": 1.5, "proc_run": 0}  # loads of -1 and totals of 0 are unknown


def test_host_memory_disk_and_network():
    memory = made((0, 2004), 1000, 200, 0, 100, 200, 50, 40, 0, 0, 0, 0)
    found = two(memory, memory)
    assert (found["mem_total"], found["mem_used"], found["mem_utilization"]) == (1000, 500, 50.0)
    assert (found["swap_total"], found["swap_free"], found["page_in"]) == (50, 40, 0.0)
    found = two(made((0, 2005), 800, 200, 9912, *[0] * 6), made((0, 2005), 800, 200, 9912, 10, 20, 30, 40, 50, 60))
    assert found == {
        "disk_total": 800,
        "disk_free": 200,
        "disk_utilization": 75.0,
        "part_max_used": 99.12,
        "disk_reads": 1.0,
        "bytes_read": 2.0,
        "read_time": 3.0,
        "disk_writes": 4.0,
        "bytes_written": 5.0,
        "write_time": 6.0,
    }
    assert two(made((0, 2006), *[0] * 8), made((0, 2006), 10, 20, 30, 40, 50, 60, 70, 80)) == {
        "bytes_in": 1.0,
        "pkts_in": 2.0,
        "errs_in": 3.0,
        "drops_in": 4.0,
        "bytes_out": 5.0,
        "pkts_out": 6.0,
        "errs_out": 7.0,
        "drops_out": 8.0,
    }


DESCRIPTION = made((0, 2000), opaque(b"alpha"), bytes(range(16)), 3, 2, opaque(b"6.1.0"))


def test_the_names_of_a_host_and_of_a_virtual_machine():
    names = {
        "host_name": "alpha",
        "uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "machine_type": "x86_64",
        "os_name": "linux",
        "os_release": "6.1.0",
    }
    assert two(DESCRIPTION, DESCRIPTION) == names
    assert two(DESCRIPTION, DESCRIPTION, (3, 100001)) == {f"vir_{name}": value for name, value in names.items()}


def test_virtual_machines():
    assert two(made((0, 2101), 1, 1000, 2), made((0, 2101), 1, 6000, 2), (3, 100001)) == {
        "vir_cpu_state": "running",
        "vir_cpu_num": 2,
        "vir_cpu_time": 500.0,
        "vir_cpu_utilization": 25.0,
    }
    memory = made((0, 2102), 256, 1024)
    assert two(memory, memory) == {"vir_mem_used": 256, "vir_mem_total": 1024, "vir_mem_utilization": 25.0}
    found = two(made((0, 2103), 100, 50, 50, 0, 0, 0, 0, 0), made((0, 2103), 100, 50, 50, 10, 20, 30, 40, 50))
    assert (found["vir_disk_total"], found["vir_disk_reads"], found["vir_disk_errs"]) == (100, 1.0, 5.0)
    found = two(made((0, 2104), *[0] * 8), made((0, 2104), *range(10, 90, 10)))
    assert (found["vir_bytes_in"], found["vir_drops_out"]) == (1.0, 8.0)
    node = made((0, 2100), 2400, 8, 64, 32, 3)
    assert two(node, node) == {
        "vir_node_mhz": 2400,
        "vir_node_cpus": 8,
        "vir_node_mem_total": 64,
        "vir_node_mem_free": 32,
        "vir_node_domains": 3,
    }


def test_applications():
    found = two(made((0, 2203), 0, 0, 5000, 0, 7, 0, 0, 9), made((0, 2203), 100, 200, 5000, 0, 7, 0, 0, 9))
    assert found == {
        "app_usertime": 10.0,
        "app_systemtime": 20.0,
        "app_memused": 5000,
        "app_openfiles": 7,
        "app_connectionsmax": 9,
    }
    found = two(made((0, 2202), opaque(b"shop"), *[0] * 11), made((0, 2202), opaque(b"shop"), *range(10, 120, 10)))
    assert (found["app_name"], found["app_success"], found["app_unauthorized"]) == ("shop", 1.0, 11.0)
    found = two(made((0, 2201), *[0] * 15), made((0, 2201), *range(10, 160, 10)))
    assert (found["http_method_option"], found["http_status_5xx"], found["http_status_other"]) == (1.0, 14.0, 15.0)
    found = two(made((0, 2204), *[0] * 31), made((0, 2204), *range(10, 320, 10)))
    assert (found["memcache_cmd_set"], found["memcache_threads"], found["memcache_bytes"]) == (1.0, 170, 300)
    found = two(made((0, 2106), *[0] * 19), made((0, 2106), *range(10, 200, 10)))
    assert (found["jvm_heap_used"], found["jvm_gc_count"], found["jvm_fds_max"]) == (20, 9.0, 190)
    texts = made((0, 2105), opaque(b"HotSpot"), opaque(b""), opaque(b"21"))
    assert two(texts, texts) == {"jvm_name": "HotSpot", "jvm_version": "21"}


def test_switch_processor_and_mib_groups():
    processor = made((0, 1001), 1234, -1, 500, 400, 100)
    assert two(processor, processor) == {
        "cpu_5sec": 12.34,
        "cpu_5min": 5.0,
        "mem_total": 400,
        "mem_free": 100,
        "mem_used": 300,
        "mem_utilization": 75.0,
    }
    found = two(made((0, 2009), *[0] * 15), made((0, 2009), *range(10, 160, 10)))
    assert (found["tcp_currestab"], found["tcp_activeopens"], found["tcp_incsumerrors"]) == (90, 5.0, 15.0)
    found = two(made((0, 2007), *[0] * 19), made((0, 2007), *range(10, 200, 10)))
    assert (found["ip_forwarding"], found["ip_inreceives"], found["ip_fragcreates"]) == (10, 3.0, 19.0)


def test_link_aggregation():
    lag = bytes.fromhex("00aabbccddee0000 001122334455ffff") + words(7) + bytes([1, 2, 3, 4])
    counts = (5, UNKNOWN_COUNTER, UNKNOWN_COUNTER, 0, 0, 15, UNKNOWN_COUNTER, UNKNOWN_COUNTER)
    assert two(record(7, lag + words(*[0] * 8)), record(7, lag + words(*counts))) == {
        "agg_actorsystemid": "00AABBCCDDEE",
        "agg_partneropersystemid": "001122334455",
        "agg_attachedaggid": 7,
        "agg_actoradminportstate": 1,
        "agg_actoroperportstate": 2,
        "agg_partneradminportstate": 3,
        "agg_partneroperportstate": 4,
        "agg_lacpdusrx": 0.5,
        "agg_unknownrx": 0.0,
        "agg_illegalrx": 0.0,
        "agg_lacpdustx": 1.5,
    }


def test_optics():
    optics = record(10, words(3, 1, 3300, (1 << 32) - 1500, 1, 1, 6500, 501, 1, 2, 850, 402, 3, 4, 850))
    assert two(optics, optics) == {
        "opt_module_id": 3,
        "opt_module_lanes": 1,
        "opt_module_supply_voltage": 3.3,
        "opt_module_temperature": -1.5,
        "opt_tx_bias_1": 6500,
        "opt_tx_power_1": 501,
        "opt_rx_power_1": 402,
    }


def test_broadcom_tables_and_buffers():
    tables = made((4413, 3), 10, 100, 1, 2, 0, 0, *[0] * 4, 5, 20, 3, 4, 8, 16, *[0] * 4, 6, 8, *[0] * 14)
    found = two(tables, tables)
    assert {name: value for name, value in found.items() if name.endswith("_utilization")} == {
        "bcm_host_utilization": 10.0,
        "bcm_ipv4_utilization": 50.0,
        "bcm_total_routes_utilization": 25.0,
        "bcm_ecmp_nexthops_utilization": 75.0,
        "bcm_mac_utilization": 50.0,
        "bcm_acl_ingress_utilization": 75.0,
    }
    device = made((4413, 1), 250, -1)
    assert two(device, device) == {"bcm_device_uc_utilization": 2.5}
    ports = record(4413 << 12 | 2, words(100, 200, 300, 400, 2, 50, UNKNOWN_COUNTER, 0))
    assert two(ports, ports) == {
        "bcm_ingress_uc_utilization": 1.0,
        "bcm_ingress_mc_utilization": 2.0,
        "bcm_egress_uc_utilization": 3.0,
        "bcm_egress_mc_utilization": 4.0,
        "bcm_egress_queue_uc_utilization_0": 0.5,
    }


def test_environment_and_gpu():
    energy = made((0, 3000), 12000, 500, 6000, 9900, 0, 0)
    assert two(energy, made((0, 3000), 12000, 500, 6000, -2147483647, 60000, 0)) == {
        "energy_voltage": 12000,
        "energy_current": 500,
        "energy_power": 6000,
        "energy_power_factor": 99.0,  # the later one is unknown
        "energy_energy": 6000.0,
        "energy_errors": 0.0,
    }
    assert two(made((0, 3001), -55, 405, 0), made((0, 3001), -55, 405, 10)) == {
        "temperature_min": -5.5,
        "temperature_max": 40.5,
        "temperature_errors": 1.0,
    }
    assert two(made((0, 3002), 45), made((0, 3002), 46)) == {"humidity": 46}
    assert two(made((0, 3003), 4, 1, 80), made((0, 3003), 4, 1, 80)) == {
        "fans_total": 4,
        "fans_failed": 1,
        "fans_speed": 80,
    }
    found = two(made((5703, 1), 2, 3, 0, 0, 80, 20, 0, 0, 65, 40), made((5703, 1), 2, 3, 10, 20, 80, 20, 0, 5, 65, 40))
    assert (found["gpu_count"], found["gpu_time"], found["gpu_energy"], found["gpu_temperature"]) == (2, 1.0, 0.5, 65)


def test_every_row_fits_its_structure():
    assert {tag: len(row) for tag, row in METRICS.items() if not row} == {}
    assert set(METRICS) == set(COUNTER_RECORDS) - {(4300, 2)}


@pytest.mark.parametrize("tag", METRICS)
def test_every_structure_makes_metrics_and_its_names_lead_back_to_it(tag):
    agent = Agent()
    agent.send(1000, record(tag[0] << 12 | tag[1], COUNTERS[tag][0]))
    agent.send(1010, record(tag[0] << 12 | tag[1], COUNTERS[tag][0]))
    agent.send(1010, record(tag[0] << 12 | tag[1], COUNTERS[tag][0]), source=(3, 7))
    agent.send(1020, record(tag[0] << 12 | tag[1], COUNTERS[tag][0]), source=(3, 7))
    names = set(agent.values(1020)) | set(agent.values(1020, "3.7"))
    assert names
    assert {name for name in names if tag not in tags_of(name)} == set()
    for name in names:
        assert agent.engine.metric([ADDRESS], [f"any:{name}"], {}, 1020)[0].cells >= 1


def test_rare_interfaces():
    found = two(made((0, 3), *[0] * 18), made((0, 3), *range(10, 190, 10)))
    assert (found["tokenring_lineerrors"], found["tokenring_freqerrors"]) == (1.0, 18.0)
    found = two(made((0, 4), *[0] * 14), made((0, 4), *range(10, 150, 10)))
    assert (found["vg_inhighpriorityframes"], found["vg_hcouthighpriorityoctets"]) == (1.0, 14.0)
    assert two(made((0, 5), 100, *[0] * 5), made((0, 5), 100, *range(10, 60, 10))) == {
        "vlan_id": 100,
        "vlan_octets": 1.0,
        "vlan_ucastpkts": 2.0,
        "vlan_multicastpkts": 3.0,
        "vlan_broadcastpkts": 4.0,
        "vlan_discards": 5.0,
    }
    found = two(made((0, 6), *[0] * 20), made((0, 6), *range(10, 210, 10)))
    assert (found["wlan_failedcount"], found["wlan_associatedstationcount"]) == (3.0, 160)
    found = two(made((0, 9), *[0] * 14), made((0, 9), *range(10, 150, 10)))
    assert (found["ib_xmit_pkts"], found["ib_symbol_errors"], found["ib_vl15_dropped"]) == (1.0, 3.0, 14.0)
    assert two(made((0, 8), *[0] * 6), made((0, 8), *range(10, 70, 10))) == {
        "slow_path_unknown": 1.0,
        "slow_path_other": 2.0,
        "slow_path_cam_miss": 3.0,
        "slow_path_cam_full": 4.0,
        "slow_path_no_hw_support": 5.0,
        "slow_path_cntrl": 6.0,
    }


def test_radio():
    assert two(made((0, 1002), 0, 0, 0), made((0, 1002), 10_000, 8000, 2000)) == {
        "radio_elapsed_time": 1000.0,
        "radio_on_channel_time": 800.0,
        "radio_on_channel_busy_time": 200.0,
        "radio_utilization": 25.0,
    }


def test_every_queue_of_a_port_has_its_own_metrics():
    agent = Agent()
    for step in (0, 1):
        queues = [made((0, 1003), queue, 64, 1000, *[0] * 9, 100 * queue * step) for queue in (0, 7, 255, 256)]
        agent.send(1000 + 10 * step, *queues)
    found = agent.values(1010)
    assert {name: value for name, value in found.items() if name.startswith("queue_dropped")} == {
        "queue_dropped_0": 0.0,
        "queue_dropped_7": 70.0,
        "queue_dropped_255": 2550.0,
    }
    assert (found["queue_segment_size_7"], found["queue_segments_7"], found["queue_length_128_7"]) == (64, 1000, 0.0)
    assert len(found) == 3 * 12
    assert agent.engine.numbers().counter_records_refused == 2  # queue 256, twice


def test_adapters_and_parent_of_a_host():
    adapters = record(2001, words(2) + words(5, 1) + bytes(8) + words(6, 0))
    assert two(adapters, adapters) == {"adapters": 2}
    parent = made((0, 2002), 2, 1)
    assert two(parent, parent, (3, 100001)) == {"parent_dsclass": 2, "parent_dsindex": 1}


def test_virtual_desktops():
    found = two(made((0, 2205), 3, *[0] * 22), made((0, 2205), *range(10, 240, 10)))
    assert (found["vdi_sessions_current"], found["vdi_sessions_total"], found["vdi_usb_tx_bytes"]) == (10, 2.0, 23.0)
    assert (found["vdi_rtt_avg_ms"], found["vdi_audio_tx_limit"], found["vdi_img_qual_min"]) == (120, 150, 190)
    assert len(found) == 23
