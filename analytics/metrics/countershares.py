"""Metrics that follow from those of one counter record: utilizations, sums and ratios (sflow-rt-api.md 4.1, 4.2).

SHARES has a row per structure: the names that may follow and the function that makes them. Percentages are 0..100. What
cannot be known is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analytics.core.wire.structures import Tag

CPU_TIMES = ("cpu_user", "cpu_nice", "cpu_system", "cpu_idle", "cpu_wio", "cpu_intr", "cpu_sintr", "cpu_steal")
BCM_TABLES = {
    "bcm_host_utilization": ("bcm_asic_host_entries", "bcm_host_entries_max"),
    "bcm_total_routes_utilization": ("bcm_total_routes", "bcm_total_routes_max"),
    "bcm_ecmp_nexthops_utilization": ("bcm_ecmp_nexthops", "bcm_ecmp_nexthops_max"),
}
BCM_TABLES |= {
    f"bcm_{table}_utilization": (f"bcm_{table}_entries", f"bcm_{table}_entries_max")
    for table in ("mac", "ipv4", "ipv6", "ipv4_ipv6", "long_ipv6", "acl_ingress", "acl_egress")
}
BCM_TABLES |= {
    f"bcm_acl_{side}_{kind}_utilization": (f"bcm_acl_{side}_{kind}", f"bcm_acl_{side}_{kind}_max")
    for side in ("ingress", "egress")
    for kind in ("counters", "meters", "slices")
}

Found = Mapping[str, Any]
Items = Iterator[tuple[str, Any]]


def _port(found: Found) -> Items:
    speed = found.get("ifspeed")
    for way in ("in", "out"):
        octets = found.get(f"if{way}octets")
        if octets is not None and speed:
            yield f"if{way}utilization", octets * 800 / speed
        packets = [found.get(f"if{way}{kind}pkts") for kind in ("ucast", "multicast", "broadcast")]
        if packets[0] is not None:
            yield f"if{way}pkts", sum(rate for rate in packets if rate is not None)


def _processor(found: Found) -> Items:
    times = {name: found[name] for name in CPU_TIMES if name in found}
    spent = sum(times.values())
    if spent > 0 and "cpu_idle" in times:
        yield from ((name, time * 100 / spent) for name, time in times.items())
        yield "cpu_utilization", 100 - times["cpu_idle"] * 100 / spent
    if "load_one" in found and found.get("cpu_num"):
        yield "load_one_per_cpu", found["load_one"] / found["cpu_num"]


def _memory(found: Found) -> Items:
    if found.get("mem_total") and "mem_free" in found:
        used = found["mem_total"] - sum(found.get(f"mem_{part}", 0) for part in ("free", "buffers", "cached"))
        yield "mem_used", max(0, used)
        yield "mem_utilization", max(0, used) * 100 / found["mem_total"]


def _disk(found: Found) -> Items:
    if found.get("disk_total") and "disk_free" in found:
        yield "disk_utilization", (found["disk_total"] - found["disk_free"]) * 100 / found["disk_total"]


def _virtual_processor(found: Found) -> Items:
    if "vir_cpu_time" in found and found.get("vir_cpu_num"):
        yield "vir_cpu_utilization", found["vir_cpu_time"] / 10 / found["vir_cpu_num"]  # ms per second and processor


def _virtual_memory(found: Found) -> Items:
    if found.get("vir_mem_total") and "vir_mem_used" in found:
        yield "vir_mem_utilization", found["vir_mem_used"] * 100 / found["vir_mem_total"]


def _radio(found: Found) -> Items:
    if found.get("radio_on_channel_time") and "radio_on_channel_busy_time" in found:
        yield "radio_utilization", found["radio_on_channel_busy_time"] * 100 / found["radio_on_channel_time"]


def _tables(found: Found) -> Items:
    for name, (entries, most) in BCM_TABLES.items():
        if found.get(most) and entries in found:
            yield name, found[entries] * 100 / found[most]


SHARES: dict[Tag, tuple[tuple[str, ...], Callable[[Found], Items]]] = {
    (0, 1): (("ifinutilization", "ifoututilization", "ifinpkts", "ifoutpkts"), _port),
    (0, 1001): (("mem_used", "mem_utilization"), _memory),
    (0, 1002): (("radio_utilization",), _radio),
    (0, 2003): (("cpu_utilization", "load_one_per_cpu"), _processor),
    (0, 2004): (("mem_used", "mem_utilization"), _memory),
    (0, 2005): (("disk_utilization",), _disk),
    (0, 2101): (("vir_cpu_utilization",), _virtual_processor),
    (0, 2102): (("vir_mem_utilization",), _virtual_memory),
    (4413, 3): (tuple(BCM_TABLES), _tables),
}
