"""Mixed, edited, real and generated inputs through everything that reads foreign bytes: nothing escapes, nothing
hangs, the next good datagram counts. The same with an address sanitizer and millions of inputs: tests/bench/fuzz.py.

FUZZ_ROUNDS=1000000 .venv-test/bin/pytest tests/analytics/core/test_fuzz.py runs longer; the seed is fixed, so that
a failure repeats.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice

import pytest

from analytics.core.flows.flowkeys import FIELDS
from analytics.engine import Engine
from tests.analytics.examples.generator import Generator
from tests.analytics.examples.inputs import CYCLE, Inputs
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame
from tests.bench.victims import EPOCHS_PER_ROUND, FORMS, Victim, definitions

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "40000"))
EPOCH_INPUTS = 500  # inputs of one epoch


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs(20, stock=300)


def test_all_ways_through_all_victims(inputs):
    sums: Counter[str] = Counter()
    epochs = ROUNDS // EPOCH_INPUTS
    for epoch in range(1, epochs + 1):
        victim = Victim(epoch)
        for kind, wire in islice(inputs.epoch(epoch), EPOCH_INPUTS):
            victim.take(kind, wire)
        good = datagram(flow_sample(sampled_header(tcp_frame("10.77.0.1"))), agent="10.9.9.9")
        victim.engine.set_flow("last", {"keys": "ipsource,stack", "value": "bytes"})
        victim.datagram(good)
        found = victim.engine.active_flows(["10.9.9.9"], "last", victim.now)
        assert [flow.key for flow in found] == ["10.77.0.1,eth.ip.tcp"]
        sums += victim.end()
    assert sums["datagrams"] - epochs > ROUNDS * 0.9
    assert 0 < sums["not sFlow 5"] < ROUNDS / 10  # most get past the head
    for what in ("flow samples", "counter samples", "discards", "faults", "flows read"):
        assert sums[what] > ROUNDS / 50, what
    for what in (
        *set(CYCLE),
        "events",
        "samples by microflow",
        "datagrams in capture files",
        "requests that are JSON",
        "flow entries refused",
    ):
        assert sums[what] > 0, what
    assert min(sums[f"printed as {form}"] for form in FORMS) > ROUNDS / 6


def test_an_epoch_follows_from_its_number(inputs):
    once, again, other = (list(islice(inputs.epoch(number), 300)) for number in (7, 7, 8))
    assert once == again == list(islice(Inputs(20, stock=300).epoch(7), 300))
    assert once != other


def test_every_field_has_its_turn_in_some_epoch():
    """As a carried key, and as a computed one; of samples and of discards."""
    seen = Counter(
        (key.removeprefix("null:"), key.startswith("null:"), spec["dropped"])
        for epoch in range(6 * EPOCHS_PER_ROUND)
        for name, spec in definitions(epoch).items()
        if name.startswith(("field", "nulls"))
        for key in str(spec["keys"]).split(",")
    )
    assert set(seen) == {(name, computed, dropped) for name in FIELDS for computed in (0, 1) for dropped in (0, 1)}


def test_generated_datagrams_that_do_not_lie_have_no_faults():
    engine, generator = Engine(), Generator(4, lies=0)
    for number in range(1000):
        engine.feed([generator.datagram()], 1000 + number / 1000)
    numbers = engine.numbers()
    assert (numbers.not_sflow, numbers.other_version) == (0, 0)
    assert sum(each.faults for each in engine.agents().values()) == 0
    engine.close()
