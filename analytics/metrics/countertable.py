"""Which metric each field of a counter record becomes: one row per structure (sflow-rt-api.md 4.1, 4.2).

A row names the fields of core/wire/structures.py in wire order, one word each:

    name      a gauge or a text, as it is (percentages and lists: see READ)
    name?     a gauge that is unknown when it is 0, as the common agent code writes it (sflow-wire.md 0)
    +name     a counter, which becomes a rate per second
    -         no metric

Names that sflow-rt-api.md does not list follow its manner: Ganglia's names for hosts, the MIB's in lower case. Each
queue of a port (0:1003) has its own, with its index behind: `queue_dropped_3`. Of 0:2001 only the
number of adapters is a metric, their addresses are not. 4300:2 has no row: its fields are not known.
What follows from the metrics of a record stands in countershares.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from analytics.core.wire.structures import COUNTER_RECORDS, Tag
from analytics.metrics.countershares import SHARES

WORD = 1 << 32
WIDTHS = {"u32": WORD, "u64": WORD * WORD}
HOST_TEXTS = ("host_name", "uuid", "machine_type", "os_name", "os_release")  # vir_... of a virtual machine
LANES_SHOWN = 16
HIGHEST_LANE = 255  # a name is made of it, and names must stay few


class Metric(NamedTuple):
    """One field: `width` is the counter's range, 0 for a gauge; `zero_unknown`: 0 says nothing."""

    field: str
    name: str
    type: str
    width: int
    zero_unknown: bool


def _row(tag: Tag, words: str) -> tuple[Tag, tuple[Metric, ...]]:
    fields = COUNTER_RECORDS[tag].fields
    metrics = []
    for field, word in zip(fields, words.split(), strict=True):
        if word == "-":
            continue
        name = word.strip("+?")
        width = WIDTHS[field.type] if word.startswith("+") else 0
        metrics.append(Metric(field.name, name, field.type, width, word.endswith("?")))
    return tag, tuple(metrics)


def _lower(tag: Tag, prefix: str, cut: str, gauges: str = "") -> tuple[Tag, tuple[Metric, ...]]:
    """A row of counters that keep the names of the structure, in lower case behind a prefix of ours."""
    apart = set(gauges.split())
    words = []
    for field in COUNTER_RECORDS[tag].fields:
        own = field.name.removeprefix(cut)
        words.append(f"{'' if own in apart or field.type not in WIDTHS else '+'}{prefix}{own.lower()}")
    return _row(tag, " ".join(words))


_IN_OUT = "+{0}bytes_in +{0}pkts_in +{0}errs_in +{0}drops_in +{0}bytes_out +{0}pkts_out +{0}errs_out +{0}drops_out"

METRICS: dict[Tag, tuple[Metric, ...]] = dict((
    _row((0, 1), """ifindex iftype ifspeed ifdirection ifstatus +ifinoctets +ifinucastpkts +ifinmulticastpkts
        +ifinbroadcastpkts +ifindiscards +ifinerrors +ifinunknownprotos +ifoutoctets +ifoutucastpkts
        +ifoutmulticastpkts +ifoutbroadcastpkts +ifoutdiscards +ifouterrors -"""),
    _row((0, 2), """+eth_alignmenterrors +eth_fcserrors +eth_singlecollisions +eth_multiplecollisions
        +eth_sqetesterrors +eth_deferredtx +eth_latecollision +eth_excessivecollisions +eth_internalmactxerrors
        +eth_carriersenseerrors +eth_frametoolongs +eth_internalmacrxerrors +eth_symbolerrors"""),
    _lower((0, 3), "tokenring_", "dot5Stats"),
    _lower((0, 4), "vg_", "dot12"),
    _row((0, 5), "vlan_id +vlan_octets +vlan_ucastpkts +vlan_multicastpkts +vlan_broadcastpkts +vlan_discards"),
    _lower((0, 6), "wlan_", "dot11", "AssociatedStationCount"),
    _row((0, 7), """agg_actorsystemid agg_partneropersystemid agg_attachedaggid agg_actoradminportstate
        agg_actoroperportstate agg_partneradminportstate agg_partneroperportstate +agg_lacpdusrx +agg_markerpdusrx
        +agg_markerresponsepdusrx +agg_unknownrx +agg_illegalrx +agg_lacpdustx +agg_markerpdustx
        +agg_markerresponsepdustx"""),
    _lower((0, 8), "slow_path_", "slow_path_"),
    _lower((0, 9), "ib_", "ib_"),
    _row((0, 10), "opt_module_id opt_module_lanes opt_module_supply_voltage? opt_module_temperature opt_lanes"),
    _row((0, 11), "+pfc_requests +pfc_indications +pfc_pause_duration +pfc_storm_detected +pfc_storm_restored"),
    _row((0, 1001), "cpu_5sec cpu_1min cpu_5min mem_total? mem_free"),
    _row((0, 1002), "+radio_elapsed_time +radio_on_channel_time +radio_on_channel_busy_time"),
    _row((0, 1003), """- queue_segment_size queue_segments +queue_length_0 +queue_length_1 +queue_length_2
        +queue_length_4 +queue_length_8 +queue_length_32 +queue_length_128 +queue_length_1024 +queue_length_more
        +queue_dropped"""),
    _row((0, 1004), "of_dpid of_port"),
    _row((0, 1005), "ifname"),
    _row((0, 2000), "host_name uuid machine_type os_name os_release"),
    _row((0, 2001), "adapters"),
    _row((0, 2002), "parent_dsclass parent_dsindex"),
    _row((0, 2003), """load_one load_five load_fifteen proc_run proc_total? cpu_num? cpu_speed? uptime? +cpu_user
        +cpu_nice +cpu_system +cpu_idle +cpu_wio +cpu_intr +cpu_sintr +interrupts +contexts +cpu_steal +cpu_guest
        +cpu_guest_nice"""),
    _row((0, 2004), """mem_total? mem_free mem_shared mem_buffers mem_cached swap_total swap_free +page_in +page_out
        +swap_in +swap_out"""),
    _row((0, 2005), """disk_total? disk_free part_max_used +disk_reads +bytes_read +read_time +disk_writes
        +bytes_written +write_time"""),
    _row((0, 2006), _IN_OUT.format("")),
    _lower((0, 2007), "ip_", "ip", "Forwarding DefaultTTL ReasmTimeout"),
    _lower((0, 2008), "icmp_", "icmp"),
    _lower((0, 2009), "tcp_", "tcp", "RtoAlgorithm RtoMin RtoMax MaxConn CurrEstab"),
    _lower((0, 2010), "udp_", "udp"),
    _row((0, 2100), "vir_node_mhz? vir_node_cpus? vir_node_mem_total? vir_node_mem_free vir_node_domains"),
    _row((0, 2101), "vir_cpu_state +vir_cpu_time vir_cpu_num?"),
    _row((0, 2102), "vir_mem_used vir_mem_total?"),
    _row((0, 2103), """vir_disk_total? vir_disk_allocation vir_disk_free +vir_disk_reads +vir_bytes_read
        +vir_disk_writes +vir_bytes_written +vir_disk_errs"""),
    _row((0, 2104), _IN_OUT.format("vir_")),
    _row((0, 2105), "jvm_name jvm_vendor jvm_version"),
    _row((0, 2106), """jvm_heap_initial jvm_heap_used jvm_heap_committed jvm_heap_max jvm_nonheap_initial
        jvm_nonheap_used jvm_nonheap_committed jvm_nonheap_max +jvm_gc_count +jvm_gc_ms jvm_classes_loaded
        +jvm_classes_total +jvm_classes_unloaded +jvm_compilation_ms jvm_threads_live jvm_threads_daemon
        +jvm_threads_started jvm_fds_open? jvm_fds_max?"""),
    _lower((0, 2200), "memcache_", "memcache_", """uptime curr_connections connection_structures limit_maxbytes
        accepting_conns threads bytes curr_items"""),
    _row((0, 2201), """+http_method_option +http_method_get +http_method_head +http_method_post +http_method_put
        +http_method_delete +http_method_trace +http_method_connect +http_method_other +http_status_1xx
        +http_status_2xx +http_status_3xx +http_status_4xx +http_status_5xx +http_status_other"""),
    _row((0, 2202), """app_name +app_success +app_other +app_timeout +app_internal_error +app_bad_request
        +app_forbidden +app_too_large +app_not_implemented +app_not_found +app_unavailable +app_unauthorized"""),
    _row((0, 2203), """+app_usertime +app_systemtime app_memused? app_memmax? app_openfiles? app_openfilesmax?
        app_connections? app_connectionsmax?"""),
    _lower((0, 2204), "memcache_", "memcache_", """threads curr_connections connection_structures curr_items bytes
        limit_maxbytes"""),
    _lower((0, 2205), "vdi_", "vdi_", """sessions_current rtt_min_ms rtt_max_ms rtt_avg_ms audio_tx_limit img_qual_min
        img_qual_max img_qual_avg"""),
    _row((0, 2206), "workers_active workers_idle workers_max +workers_requests_delayed +workers_requests_dropped"),
    _row((0, 2207), "+ovs_dp_hitrate +ovs_dp_missrate +ovs_dp_lostrate +ovs_dp_maskhitrate ovs_dp_flows ovs_dp_masks"),
    _row((0, 3000), "energy_voltage energy_current energy_power energy_power_factor +energy_energy +energy_errors"),
    _row((0, 3001), "temperature_min temperature_max +temperature_errors"),
    _row((0, 3002), "humidity"),
    _row((0, 3003), "fans_total fans_failed fans_speed"),
    _row((4413, 1), "bcm_device_uc_utilization bcm_device_mc_utilization"),
    _row((4413, 2), """bcm_ingress_uc_utilization bcm_ingress_mc_utilization bcm_egress_uc_utilization
        bcm_egress_mc_utilization bcm_egress_queue_uc_utilization bcm_egress_queue_mc_utilization"""),
    _lower((4413, 3), "bcm_", "bcm_", " ".join(
        field.name.removeprefix("bcm_") for field in COUNTER_RECORDS[4413, 3].fields)),
    _row((5703, 1), """gpu_count gpu_processes +gpu_time +gpu_mem_time gpu_mem_total? gpu_mem_free +gpu_ecc_errors
        +gpu_energy gpu_temperature gpu_fan_speed"""),
))  # fmt: skip

UNKNOWN = {kind: width - 1 for kind, width in WIDTHS.items()}
NEVER_NEGATIVE = {"percent": 100, "f32": 1}
"""Types whose markers of the unknown are negative -> what they are counted in."""

GAUGES = {tag: tuple(metric for metric in row if not metric.width) for tag, row in METRICS.items()}
COUNTS = {tag: tuple(metric for metric in row if metric.width) for tag, row in METRICS.items()}

IF_TYPES = {
    6: "ethernetCsmacd",
    24: "softwareLoopback",
    53: "propVirtual",
    131: "tunnel",
    135: "l2vlan",
    161: "ieee8023adLag",
}
DIRECTIONS = {1: "full-duplex", 2: "half-duplex", 3: "in", 4: "out"}
MACHINES = dict(
    enumerate("unknown other x86 x86_64 ia64 sparc alpha powerpc m68k mips arm hppa s390".split())  # noqa: SIM905
)
SYSTEMS = dict(
    enumerate(
        "unknown other linux windows darwin hpux aix dragonfly freebsd netbsd openbsd osf solaris".split()  # noqa: SIM905
    )
)
CPU_STATES = dict(enumerate("none running blocked paused shutdown shutoff crashed".split()))  # noqa: SIM905
WRAPPED_SPEEDS = {speed * 10**9 % WORD: speed * 10**9 for speed in (5, 10, 20, 25, 40, 50, 100, 200, 400, 800)}
"""Open vSwitch computes bits per second in 32 bits (sflow-wire.md 6): none of these is a speed of its own."""

Items = Iterator[tuple[str, Any]]


def _words(words: dict[int, str]) -> Callable[[str, Any], Items]:
    def read(name: str, value: Any) -> Items:
        yield name, words.get(value, str(value))

    return read


def _status(_: str, value: int) -> Items:
    yield "ifadminstatus", "up" if value & 1 else "down"
    yield "ifoperstatus", "up" if value & 2 else "down"


def _speed(name: str, value: int) -> Items:
    if value:
        yield name, WRAPPED_SPEEDS.get(value, value)


def _lanes(_: str, lanes: list[list[int]]) -> Items:
    for lane in lanes[:LANES_SHOWN]:
        number, bias, sent, received = lane[0], lane[1], lane[2], lane[6]
        if number > HIGHEST_LANE:
            continue
        yield f"opt_tx_bias_{number}", bias
        yield f"opt_tx_power_{number}", sent
        yield f"opt_rx_power_{number}", received


def _queues(name: str, values: list[int]) -> Items:
    for number, value in enumerate(values):
        if value >= 0:
            yield f"{name}_{number}", value / 100


def _scaled(divisor: float) -> Callable[[str, Any], Items]:
    def read(name: str, value: Any) -> Items:
        yield name, value / divisor

    return read


def _count(name: str, value: list[Any]) -> Items:
    yield name, len(value)


def _upper(name: str, value: str) -> Items:
    yield name, value.upper()


def _uuid(name: str, value: str) -> Items:
    if value.strip("0"):
        yield name, str(UUID(value))


def _factor(name: str, value: int) -> Items:
    if abs(value) <= 10_000:  # more: unknown, or direct current
        yield name, value / 100


READ: dict[str, Callable[[str, Any], Items]] = {
    "agg_actorsystemid": _upper,
    "agg_partneropersystemid": _upper,
    "adapters": _count,
    "uuid": _uuid,
    "iftype": _words(IF_TYPES),
    "ifspeed": _speed,
    "ifdirection": lambda name, value: iter([(name, DIRECTIONS.get(value, "unknown"))]),
    "ifstatus": _status,
    "machine_type": _words(MACHINES),
    "os_name": _words(SYSTEMS),
    "vir_cpu_state": _words(CPU_STATES),
    "opt_lanes": _lanes,
    "opt_module_supply_voltage": _scaled(1000),  # volts
    "opt_module_temperature": _scaled(1000),  # degrees Celsius
    "bcm_egress_queue_uc_utilization": _queues,
    "bcm_egress_queue_mc_utilization": _queues,
    "energy_power_factor": _factor,
    "temperature_min": _scaled(10),
    "temperature_max": _scaled(10),
}
"""Fields that are more than a number: metric name and value on the wire -> metrics."""
MADE = {
    "ifstatus": ("ifadminstatus", "ifoperstatus"),
    "opt_lanes": ("opt_tx_bias", "opt_tx_power", "opt_rx_power"),
}
"""The names of those that make others than their own (numbers behind them left out)."""


def gauges(tag: Tag, values: dict[str, Any]) -> Items:
    """The gauges and texts of a record; markers of the unknown make none."""
    for field, name, kind, _, zero_unknown in GAUGES[tag]:
        value = values.get(field)
        if value is None or value == UNKNOWN.get(kind, "") or (zero_unknown and value == 0):
            continue
        if name in READ:
            yield from READ[name](name, value)
        elif kind not in NEVER_NEGATIVE:
            yield name, value
        elif value >= 0:
            yield name, value / NEVER_NEGATIVE[kind]


def rates(tag: Tag, values: dict[str, Any], before: dict[str, Any], seconds: float) -> Items:
    """The counters of a record that grew in a known way since `before`, per second."""
    if seconds <= 0:
        return
    for field, name, _, width, _ in COUNTS[tag]:
        if field in values and field in before:
            grown = growth(before[field], values[field], width)
            if grown is not None:
                yield name, grown / seconds


def growth(before: int, value: int, width: int) -> int | None:
    """How far a counter went, None if that cannot be known: unknown markers, or it was set back.

    A 32-bit counter that went back has wrapped if that makes less than half its range. A 64-bit one cannot wrap in a
    lifetime, but some agents put 32-bit counters into 64-bit fields.
    """
    if before <= value < width - 1:
        return value - before
    if width - 1 in (before, value):
        return None
    wrapped = value - before + WORD
    return wrapped if before < WORD and wrapped < WORD // 2 else None


def _names(tag: Tag) -> set[str]:
    """The names that a record may make, numbers behind them left out."""
    names = {made for metric in METRICS[tag] for made in MADE.get(metric.name, (metric.name,))}
    if tag in SHARES:
        names.update(SHARES[tag][0])
    return names | {f"vir_{name}" for name in names if name in HOST_TEXTS}


def _tags_by_name() -> dict[str, frozenset[Tag]]:
    tags: dict[str, set[Tag]] = {}
    for tag in METRICS:
        for name in _names(tag):
            tags.setdefault(name, set()).add(tag)
    return {name: frozenset(found) for name, found in tags.items()}


TAGS = _tags_by_name()


def tags_of(name: str) -> frozenset[Tag]:
    """The records that may make a metric, of `opt_tx_power_3` those of `opt_tx_power`; none for unknown names."""
    return TAGS.get(name) or TAGS.get(name.rstrip("0123456789").rstrip("_"), frozenset())
