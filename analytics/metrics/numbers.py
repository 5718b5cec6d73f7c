"""The native core's bookkeeping in the words of /agents/json and /analyzer/json (sflow-rt-api.md 1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any


def elapsed_ms(now: float, then: float) -> int:
    """Whole milliseconds between two times in seconds; 0 if the second is yet to come."""
    return max(0, round((now - then) * 1000))


def agent_numbers(values: Mapping[str, Any], now: float) -> dict[str, Any]:
    """core/ledger.agent_values -> an element of /agents/json; times are ms elapsed. Faults, restarts, skipped and
    discards are ours."""
    found: dict[str, Any] = {
        "firstSeen": elapsed_ms(now, values["first_seen"]),
        "lastSeen": elapsed_ms(now, values["last_seen"]),
        "uptime": values["uptime"],
        "sFlowDatagramSource": [_address(sender) for sender in values["senders"]],
        "sFlowBytesReceived": values["bytes"],
        "sFlowRestarts": values["datagrams"]["restarts"],
        "sFlowFlowDrops": values["flows"]["drops"],
        "sFlowFlowDatasources": values["flows"]["sources"],
        "sFlowCounterDatasources": values["counters"]["sources"],
        "sFlowDiscardDrops": values["discards"]["drops"],
        "sFlowDiscardDatasources": values["discards"]["sources"],
        "sFlowFaults": values["faults"],
        "sFlowSkippedSamples": values["skipped"],
    }
    found |= _tally("sFlowDatagrams{}", "Received", values["datagrams"])
    found |= _tally("sFlowFlow{}Samples", "", values["flows"])
    found |= _tally("sFlowDiscard{}Samples", "", values["discards"])
    return found | _tally("sFlowCounter{}Samples", "", values["counters"])


def _tally(form: str, received: str, tally: Mapping[str, int]) -> dict[str, int]:
    words = {received: "received", "Lost": "lost", "Duplicates" if received else "Duplicate": "duplicate"}
    words["OutOfOrder"] = "out_of_order"
    return {form.format(word): tally[count] for word, count in words.items()}


def _address(sender: bytes) -> str:
    address = IPv6Address(sender)
    return str(address.ipv4_mapped or address)


def analyzer_numbers(
    numbers: Mapping[str, int],
    agents: int,
    events: int,
    receiving: Mapping[str, int],
    flows: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """core/pipeline.numbers and Collector.numbers -> the engine's part of /analyzer/json.

    Ours: flowEntries...; counterRecords... (kept, refused for want of room); sFlowKernelDrops, sFlowSourcesRefused
    (datagrams); sFlowSockets and sFlowReceiveBuffer (bytes of each), which are there when a collector runs.
    """
    kernel_drops = receiving.get("kernelDrops", 0)
    listening = {}
    if receiving.get("sockets"):
        listening = {"sFlowSockets": receiving["sockets"], "sFlowReceiveBuffer": receiving["bufferBytes"]}
    return listening | {
        "sFlowAgents": agents,
        "sFlowBytesReceived": numbers["bytes"],
        "sFlowDatagramsReceived": numbers["datagrams"],
        "sFlowDatagramsDiscarded": numbers["overflow"] + kernel_drops,
        "sFlowKernelDrops": kernel_drops,
        "sFlowSourcesRefused": receiving.get("refused", 0),
        "sFlowParseErrors": numbers["not_sflow"],
        "sFlowUnsupportedVersion": numbers["other_version"],
        "eventsGenerated": events,
        "eventsLost": numbers["events_lost"],
        "flowsGenerated": 0,
        "flowsLost": 0,
        "flowEntries": sum(each["entries"] for each in flows.values()),
        "flowEntriesRefused": sum(each["refused"] for each in flows.values()),
        "counterRecords": numbers["counter_records"],
        "counterRecordsRefused": numbers["counter_refused"],
    }
