"""answers: each value of the engine, and the JSON that clients of sFlow-RT get for it, byte by byte."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from analytics.api import answers
from analytics.events.log import Event
from analytics.events.thresholds import parse_threshold
from analytics.flows.definitions import parse_definition
from analytics.flows.flowquery import ActiveFlow, FlowLocation, TopFlow
from analytics.metrics.metrics import Cell, Quartiles, Statistic
from analytics.metrics.numbers import AgentNumbers, EngineNumbers, MemoryNumbers, ReceivingNumbers, SampleTally, Tally

NOW = 1000.0
TOP = (TopFlow("a,b", 2.5, 1000.0), TopFlow("c,d", 1.0, 999.5))
CELL = Cell("10.0.0.1", "5", "pair", 2.5, NOW - 1.5, TOP)
DEFAULTS = '"n":5,"t":2,"fs":",","log":false,"flowStart":false,"activeTimeout":60,"dropped":false,"value":"bytes"'


@pytest.mark.parametrize(
    ("answer", "wire"),
    [
        (answers.flow(parse_definition("f", {"value": "bytes"})), '{"keys":"",' + DEFAULTS + "}"),
        (
            answers.flow(parse_definition("f", {"keys": ["vlan", "stack"], "value": "bytes", "filter": "vlan=5"})),
            '{"keys":"vlan,stack",' + DEFAULTS + ',"filter":"vlan=5"}',
        ),
        (
            answers.active_flow(ActiveFlow("a,b", 2.5, "10.0.0.1", "5", 3)),
            '{"agent":"10.0.0.1","dataSource":"5","flowN":3,"key":"a,b","value":2.5}',
        ),
        (
            answers.location(FlowLocation("10.0.0.1", "5", 2.5)),
            '{"agent":"10.0.0.1","dataSource":"5","value":2.5}',
        ),
        (
            answers.metric(CELL, NOW),
            '{"agent":"10.0.0.1","dataSource":"5","lastUpdate":1500,"metricName":"pair","metricValue":2.5,'
            '"topKeys":[{"key":"a,b","value":2.5,"lastUpdate":0},{"key":"c,d","value":1.0,"lastUpdate":500}]}',
        ),
        (
            answers.metric(Cell("10.0.0.1", "5", "ifname", None, NOW), NOW),
            '{"agent":"10.0.0.1","dataSource":"5","lastUpdate":0,"metricName":"ifname"}',
        ),
        (answers.statistic(Statistic("sum:m", 0), NOW), '{"metricName":"sum:m","metricN":0}'),
        (
            answers.statistic(Statistic("max:m", 2, 2.5, NOW - 1, NOW - 3, chosen=CELL, top=TOP[:1]), NOW),
            '{"metricName":"max:m","metricN":2,"lastUpdateMin":1000,"lastUpdateMax":3000,"agent":"10.0.0.1",'
            '"dataSource":"5","lastUpdate":1500,"metricValue":2.5,"topKeys":[{"key":"a,b","value":2.5,"lastUpdate":0}]}',
        ),
        (
            answers.statistic(Statistic("q1:m", 4, 2, NOW, NOW, quartiles=Quartiles(1, 2, 3, 4, 5)), NOW),
            '{"metricName":"q1:m","metricN":4,"lastUpdateMin":0,"lastUpdateMax":0,"metricValue":2,'
            '"quartiles":{"min":1,"q1":2,"med":3,"q3":4,"max":5}}',
        ),
        (
            answers.threshold(parse_threshold("t", {"metric": "f", "value": 10})),
            '{"metric":"f","value":10,"byFlow":false,"timeout":1.0}',
        ),
        (
            answers.threshold(
                parse_threshold("t", {"metric": "f", "value": 1.5, "byFlow": True, "timeout": 2, "filter": {"a": [1]}})
            ),
            '{"metric":"f","value":1.5,"byFlow":true,"timeout":2,"filter":{"a":[1]}}',
        ),
        (
            answers.event(Event("t", "f", 40.0, 50.0, "10.0.0.1", "5", 1000.25, id=7)),
            '{"eventID":7,"timestamp":1000250,"thresholdID":"t","metric":"f","threshold":40.0,"value":50.0,'
            '"agent":"10.0.0.1","dataSource":"5"}',
        ),
        (
            answers.event(Event("t", "f", 40.0, 50.0, "10.0.0.1", "5", 1000.25, key="a,b", id=7)),
            '{"eventID":7,"timestamp":1000250,"thresholdID":"t","metric":"f","threshold":40.0,"value":50.0,'
            '"agent":"10.0.0.1","dataSource":"5","flowKey":"a,b"}',
        ),
    ],
)
def test_answers(answer, wire):
    assert msgspec.json.encode(answer).decode() == wire


def test_agents():
    numbers = AgentNumbers(
        first_seen=NOW - 60,
        last_seen=NOW - 0.5,
        uptime_ms=77,
        senders=("192.0.2.1",),
        bytes=1,
        restarts=2,
        faults=3,
        skipped=4,
        datagrams=Tally(5, 6, 7, 8),
        flows=SampleTally(9, 10, 11, 12, sources=13, drops=14),
        counters=SampleTally(15, 16, 17, 18, sources=19, drops=0),
        discards=SampleTally(20, 21, 22, 23, sources=24, drops=25),
    )
    assert answers.agent(numbers, NOW) == {
        "firstSeen": 60_000,
        "lastSeen": 500,
        "uptime": 77,
        "sFlowDatagramSource": ("192.0.2.1",),
        "sFlowBytesReceived": 1,
        "sFlowRestarts": 2,
        "sFlowFaults": 3,
        "sFlowSkippedSamples": 4,
        "sFlowDatagramsReceived": 5,
        "sFlowDatagramsLost": 6,
        "sFlowDatagramsDuplicates": 7,
        "sFlowDatagramsOutOfOrder": 8,
        "sFlowFlowSamples": 9,
        "sFlowFlowLostSamples": 10,
        "sFlowFlowDuplicateSamples": 11,
        "sFlowFlowOutOfOrderSamples": 12,
        "sFlowFlowDatasources": 13,
        "sFlowFlowDrops": 14,
        "sFlowCounterSamples": 15,
        "sFlowCounterLostSamples": 16,
        "sFlowCounterDuplicateSamples": 17,
        "sFlowCounterOutOfOrderSamples": 18,
        "sFlowCounterDatasources": 19,
        "sFlowDiscardSamples": 20,
        "sFlowDiscardLostSamples": 21,
        "sFlowDiscardDuplicateSamples": 22,
        "sFlowDiscardOutOfOrderSamples": 23,
        "sFlowDiscardDatasources": 24,
        "sFlowDiscardDrops": 25,
    }


def test_the_engine():
    memory = MemoryNumbers(1000, {"flows": 10}, {"flows": 420, "answers": 60})
    plain = EngineNumbers(1, 2, 3, 4, 5, 6, 60, 61, 7, 8, 15, 16, 9, 10, 13, 11, 12, 14, 17, ReceivingNumbers(), memory)
    found = {
        "sFlowAgents": 1,
        "sFlowBytesReceived": 2,
        "sFlowDatagramsReceived": 3,
        "sFlowParseErrors": 4,
        "sFlowUnsupportedVersion": 5,
        "sFlowDatagramsDiscarded": 66,
        "sFlowAgentsRefused": 60,
        "sFlowDataSourcesRefused": 61,
        "eventsGenerated": 7,
        "eventsLost": 8,
        "flowEntries": 9,
        "flowEntriesRefused": 10,
        "flowEntriesDisplaced": 13,
        "counterRecords": 11,
        "counterRecordsRefused": 12,
        "thresholdValuesRefused": 14,
        "flowSamplesUntested": 17,
        "memory": {"budget": 1000, "stores": {"flows": {"used": 10, "most": 420}}},
        "flowsGenerated": 15,
        "flowsLost": 16,
        "sFlowKernelDrops": 0,
        "sFlowSourcesRefused": 0,
        "sFlowDatagramsShed": 0,
        "faults": {},
    }
    assert answers.analyzer(plain, NOW) == found
    receiving = ReceivingNumbers(kernel_drops=20, refused=30, shed=40, sockets=2, buffer_bytes=4096)
    live = replace(plain, receiving=receiving, faults={"tick": 3}, started=NOW - 2)
    assert answers.analyzer(live, NOW) == found | {
        "sFlowDatagramsDiscarded": 126,
        "sFlowKernelDrops": 20,
        "sFlowSourcesRefused": 30,
        "sFlowDatagramsShed": 40,
        "sFlowSockets": 2,
        "sFlowReceiveBuffer": 4096,
        "uptime": 2000,
        "faults": {"tick": 3},
    }
