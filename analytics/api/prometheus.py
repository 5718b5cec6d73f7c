"""Prometheus text (exposition format 0.0.4): values in, text out.

Metric and label names are sFlow-RT's, so existing scrape jobs and dashboards work: `sflow_<metric>` with the labels
agent, datasource, ifname and host; `sflow_analyzer_<name>` for the engine itself. All of a metric's lines stand
together under one TYPE line. Interface metrics are gauges although their names sound like counters: the engine has
already turned them into rates per second, so they must not be wrapped in rate(); the analyzer's counters must.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from analytics.metrics.metrics import Cell, Statistic
from analytics.turns import Turns, pieces

TURN = 500  # lines made in one turn

ANALYZER = (  # key of /analyzer/json, metric, type
    ("sFlowAgents", "agent_count", "gauge"),
    ("sFlowAgents", "agents", "gauge"),
    ("sFlowBytesReceived", "received_bytes", "counter"),
    ("sFlowDatagramsReceived", "received_datagrams", "counter"),
    ("sFlowDatagramsDiscarded", "discarded_datagrams", "counter"),
    ("sFlowKernelDrops", "kernel_dropped_datagrams", "counter"),
    ("sFlowSourcesRefused", "refused_datagrams", "counter"),
    ("sFlowDatagramsShed", "shed_datagrams", "counter"),
    ("sFlowAgentsRefused", "refused_agent_datagrams", "counter"),
    ("sFlowDataSourcesRefused", "refused_datasource_samples", "counter"),
    ("flowEntries", "flow_entries", "gauge"),
    ("flowEntriesRefused", "refused_flow_samples", "counter"),
    ("flowEntriesDisplaced", "displaced_flow_entries", "counter"),
    ("sFlowSockets", "sockets", "gauge"),
    ("sFlowReceiveBuffer", "receive_buffer_bytes", "gauge"),
    ("sFlowParseErrors", "parse_errors", "counter"),
    ("sFlowUnsupportedVersion", "unsupported_version", "counter"),
    ("eventsGenerated", "events_generated", "counter"),
    ("heapUsed", "heap_used_bytes", "gauge"),
    ("heapMax", "heap_max_bytes", "gauge"),
    ("cpuLoadProcess", "cpu_load_process", "gauge"),
    ("httpMessagesReceived", "http_messages_received", "counter"),
    ("httpBytesSent", "http_bytes_sent", "counter"),
)
LABEL_METRICS = ("ifname", "host_name")
"""The metrics that become labels; ask the engine for them beside the ones that are exported."""


def analyzer_text(statistics: Mapping[str, Any]) -> str:
    """The text of /prometheus/analyzer/txt, of the object that /analyzer/json answers."""
    out = []
    for key, name, kind in ANALYZER:
        if _is_number(statistics.get(key)):
            out.append(f"# TYPE sflow_analyzer_{name} {kind}\nsflow_analyzer_{name} {statistics[key]}\n")
    if memory := statistics.get("memory"):
        for name, key in (("used", "used"), ("max", "most")):
            out.append(f"# TYPE sflow_analyzer_memory_{name}_bytes gauge\n")
            for store, held in memory["stores"].items():
                out.append(f'sflow_analyzer_memory_{name}_bytes{{store="{store}"}} {held[key]}\n')
    if faults := statistics.get("faults"):
        out.append("# TYPE sflow_analyzer_faults counter\n")
        out.extend(f'sflow_analyzer_faults{{kind="{_escaped(kind)}"}} {count}\n' for kind, count in faults.items())
    return "".join(out)


def metrics_text(cells: Iterable[Cell], naming: Iterable[Cell]) -> Turns[str]:
    """One line per numeric metric and data source, in turns. `cells` and `naming` (LABEL_METRICS) are those of
    Engine.dump."""
    ifnames, hosts = _names(naming)
    by_metric: dict[str, dict[str, Any]] = {}
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
        shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if text)
        name = "sflow_" + re.sub(r"[^a-zA-Z0-9_]", "_", cell.metric)
        by_metric.setdefault(name, {})[shown] = cell.value
    out = []
    for name in sorted(by_metric):
        out.append(f"# TYPE {name} gauge\n")
        for some in pieces(list(by_metric[name].items()), TURN):
            out.append("".join(f"{name}{{{labels}}} {value}\n" for labels, value in some))
            yield
    return "".join(out)


def statistics_text(found: Iterable[Statistic]) -> str:
    """A line without labels per numeric statistic that has a value."""
    out = []
    for each in found:
        if _is_number(each.value):
            name = "sflow_" + re.sub(r"[^a-zA-Z0-9_]", "_", each.name)
            out.append(f"# TYPE {name} gauge\n{name} {each.value}\n")
    return "".join(out)


def _names(naming: Iterable[Cell]) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Interface names by (agent, data source); host names by agent, whichever of its data sources says it."""
    ifnames: dict[tuple[str, str], str] = {}
    hosts: dict[str, str] = {}
    for cell in naming:
        if cell.metric == "ifname":
            ifnames[cell.agent, cell.source] = str(cell.value or "")
        elif cell.metric == "host_name":
            hosts[cell.agent] = str(cell.value or "")
    return ifnames, hosts


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
