"""Prometheus text (exposition format 0.0.4): values in, text out.

Metric and label names are sFlow-RT's, so existing scrape jobs and dashboards work: `sflow_<metric>` with the labels
agent, datasource, ifname and host; `sflow_analyzer_<name>` for the engine itself; of flows and of statistics, which its
Prometheus app exports, the names that the scrape asks for. /metrics has the engine's numbers once more under names as
Prometheus recommends them. All of a metric's lines stand together under one HELP and one TYPE line. Interface metrics
are gauges although their names sound like counters: the engine has already turned them into rates per second, so they
must not be wrapped in rate(); the analyzer's counters must.

A name that came from outside is made one of letters, digits and `_` (`max:load_one` is max_load_one); where two become
the same, one line stays, because Prometheus takes no sample twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from analytics.flows.flowquery import ActiveFlow
from analytics.metrics.countertable import METRICS
from analytics.metrics.metrics import Cell, Statistic
from analytics.turns import Turns, pieces

MEDIA_TYPE = "text/plain; version=0.0.4"
TURN = 500  # lines made in one turn


class Number(NamedTuple):
    """A number of /analyzer/json as a metric; `name` without prefix, and without the _total of counters."""

    key: str
    name: str
    kind: str
    help: str


NUMBERS = tuple(
    Number(*row)
    for row in (
        ("sFlowAgents", "agents", "gauge", "Agents that sFlow comes from."),
        ("sFlowBytesReceived", "received_bytes", "counter", "Bytes of sFlow datagrams received."),
        ("sFlowDatagramsReceived", "received_datagrams", "counter", "sFlow datagrams received."),
        ("sFlowDatagramsDiscarded", "discarded_datagrams", "counter", "Datagrams received and not taken."),
        ("sFlowKernelDrops", "kernel_dropped_datagrams", "counter", "Datagrams that the kernel dropped."),
        ("sFlowSourcesRefused", "refused_datagrams", "counter", "Datagrams of senders that may not send."),
        ("sFlowDatagramsShed", "shed_datagrams", "counter", "Datagrams of agents that sent more than can be taken."),
        ("sFlowAgentsRefused", "refused_agent_datagrams", "counter", "Datagrams of agents there was no room for."),
        ("sFlowDataSourcesRefused", "refused_datasource_samples", "counter", "Samples of data sources without room."),
        ("flowEntries", "flow_entries", "gauge", "Flow keys that are kept."),
        ("flowEntriesRefused", "refused_flow_samples", "counter", "Samples of flows there was no room for."),
        ("flowEntriesDisplaced", "displaced_flow_entries", "counter", "Flow keys that made room for others."),
        ("sFlowSockets", "sockets", "gauge", "UDP sockets that receive."),
        ("sFlowReceiveBuffer", "receive_buffer_bytes", "gauge", "Receive buffer of one socket."),
        ("sFlowParseErrors", "parse_errors", "counter", "Malformed datagrams and records."),
        ("sFlowUnsupportedVersion", "unsupported_version", "counter", "Datagrams of another sFlow version."),
        ("eventsGenerated", "events_generated", "counter", "Events of thresholds."),
        ("heapUsed", "heap_used_bytes", "gauge", "Resident memory of the process."),
        ("heapMax", "heap_max_bytes", "gauge", "Memory of the machine."),
        ("cpuLoadProcess", "cpu_load_process", "gauge", "Share of all processors that the process uses, 0 to 1."),
        ("httpMessagesReceived", "http_messages_received", "counter", "HTTP requests."),
        ("httpBytesSent", "http_bytes_sent", "counter", "Bytes of HTTP answers."),
    )
)
ALSO = {"agents": "agent_count"}
"""Second names that dashboards for sFlow-RT query."""

RATES = frozenset(metric.name for row in METRICS.values() for metric in row if metric.width)
LABEL_METRICS = ("ifname", "host_name")
"""The metrics that become labels; ask the engine for them beside the ones that are exported."""


def analyzer_text(statistics: Mapping[str, Any]) -> str:
    """The text of /prometheus/analyzer/txt, of the object that /analyzer/json answers."""
    out = []
    for number in NUMBERS:
        for name in (number.name, *([ALSO[number.name]] if number.name in ALSO else [])):
            out.append(_number(f"sflow_analyzer_{name}", number, statistics))
    return "".join(out) + _by_label("sflow_analyzer_", "", statistics)


def engine_text(statistics: Mapping[str, Any]) -> str:
    """The text of /metrics, of the same object."""
    out = [_head("howdah_analytics_build_info", "gauge", "The version of the program.")]
    out.append(f'howdah_analytics_build_info{{version="{_escaped(statistics["version"])}"}} 1\n')
    for number in NUMBERS:
        total = "_total" if number.kind == "counter" else ""
        out.append(_number(f"howdah_analytics_{number.name}{total}", number, statistics))
    return "".join(out) + _by_label("howdah_analytics_", "_total", statistics)


def _number(name: str, number: Number, statistics: Mapping[str, Any]) -> str:
    value = statistics.get(number.key)
    return f"{_head(name, number.kind, number.help)}{name} {value}\n" if _is_number(value) else ""


def _by_label(prefix: str, total: str, statistics: Mapping[str, Any]) -> str:
    """Numbers that there are several of: of stores, of flow definitions, of kinds of faults."""
    stores = statistics.get("memory", {}).get("stores", {})
    lost = statistics.get("lostDetail", {})
    faults = statistics.get("faults", {})
    out = []
    for name, kind, text, label, values in (
        ("memory_used_bytes", "gauge", "Bytes that a store takes.", "store", _each(stores, "used")),
        ("memory_max_bytes", "gauge", "Bytes that a store may take.", "store", _each(stores, "most")),
        ("flow_lost_rate", "gauge", "Rate that no value of a flow has, for want of room.", "flow", _each(lost, "rate")),
        ("flow_lost_bound", "gauge", "No value of a flow lacks more.", "flow", _each(lost, "bound")),
        (f"faults{total}", "counter", "What went wrong inside the program.", "kind", faults),
    ):
        if values:
            out.append(_head(prefix + name, kind, text))
            out += [f'{prefix}{name}{{{label}="{_escaped(key)}"}} {value}\n' for key, value in values.items()]
    return "".join(out)


def _each(rows: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any]:
    return {name: row[key] for name, row in rows.items()}


def metrics_text(cells: Iterable[Cell], naming: Iterable[Cell], over: str, found: Iterable[Statistic]) -> Turns[str]:
    """One line per numeric metric and data source, in turns. `cells` and `naming` (LABEL_METRICS) are those of
    Engine.dump. `found`, statistics over the data sources of the agents `over`, are one line each: about no data source
    in particular, so that its labels stay the same from scrape to scrape."""
    ifnames, hosts = _names(naming)
    by_metric: dict[str, dict[str, Any]] = {}
    helps: dict[str, str] = {}
    for number, cell in enumerate(cells):
        if number % TURN == 0:
            yield
        if not _is_number(cell.value):
            continue
        labels = {
            "agent": cell.agent,
            "datasource": cell.source,
            "ifname": ifnames.get((cell.agent, cell.source)),
            "host": hosts.get(cell.agent),
        }
        name = "sflow_" + name_of(cell.metric)
        helps.setdefault(name, cell.metric + (" per second" if cell.metric in RATES else ""))
        by_metric.setdefault(name, {})[_labels(labels)] = cell.value
    for each in found:
        if _is_number(each.value):
            name = "sflow_" + name_of(each.name)
            helps.setdefault(name, f"{each.name} over data sources")
            by_metric.setdefault(name, {})[_labels({"agent": over})] = each.value
    out = []
    for name in sorted(by_metric):
        out.append(_head(name, "gauge", helps[name]))
        for some in pieces(list(by_metric[name].items()), TURN):
            out.append("".join(f"{name}{{{labels}}} {value}\n" for labels, value in some))
            yield
    return "".join(out)


def statistics_text(group: str, found: Iterable[Statistic]) -> str:
    """One line per numeric statistic."""
    lines = {}
    for each in found:
        if _is_number(each.value):
            name = "sflow_" + name_of(each.name)
            head = _head(name, "gauge", f"{each.name} over data sources")
            lines[name] = f'{head}{name}{{group="{_escaped(group)}"}} {each.value}\n'
    return "".join(lines.values())


def flows_text(
    metric: str, labels: Sequence[str], separator: str, scale: float, flows: Sequence[ActiveFlow], about: str
) -> Turns[str]:
    """One line per flow, its key's fields as labels, in turns. `metric` and `labels`: names that Prometheus takes;
    `about`: what is counted."""
    lines: dict[str, float] = {}
    for some in pieces(flows, TURN):
        for flow in some:
            fields = flow.key.split(separator, len(labels) - 1)
            lines.setdefault(_labels(dict(zip(labels, fields, strict=True))), flow.value * scale)
        yield
    body = "".join(f"{metric}{{{shown}}} {value}\n" for shown, value in lines.items() if math.isfinite(value))
    return _head(metric, "gauge", about) + body


def name_of(text: str) -> str:
    """A name that Prometheus takes."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"_{name}" if name[:1].isdigit() else name


def _head(name: str, kind: str, text: str) -> str:
    shown = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {shown}\n# TYPE {name} {kind}\n"


def _labels(labels: Mapping[str, str | None]) -> str:
    return ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if text is not None)


def _names(naming: Iterable[Cell]) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Interface names by (agent, data source); host names by agent, whichever of its data sources says it."""
    ifnames: dict[tuple[str, str], str] = {}
    hosts: dict[str, str] = {}
    for cell in naming:
        if not cell.value:
            continue
        if cell.metric == "ifname":
            ifnames[cell.agent, cell.source] = str(cell.value)
        elif cell.metric == "host_name":
            hosts[cell.agent] = str(cell.value)
    return ifnames, hosts


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
