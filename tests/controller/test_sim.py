"""The simulation: it holds, it replays byte for byte, it finds planted faults; and what it found stays fixed."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from controller.sim.packet import BadMatch, compiled, header
from controller.sim.simulation import Plan, Simulation
from controller.sim.wiring import fabric
from tests.bench.planted import found, planted
from tests.patience import PATIENCE_S

HOWDAH = Path(sys.executable).with_name("howdah")
MINUTES = 3.0


def simulated(seed, **more):
    return Simulation(Plan(seed, MINUTES / 60, **more), random.Random(seed)).run()


@pytest.mark.parametrize(("shape", "discovery"), [("2x2x2", False), ("2x2x1", True), ("ring:4", False)])
def test_what_has_to_hold_holds(shape, discovery):
    outcome = simulated(1, shape=shape, discovery=discovery)
    assert outcome.violation is None, "\n".join(outcome.story)
    assert outcome.counts["messages"] > 50


def test_a_seed_gives_the_same_run_whatever_the_order_of_sets():
    """Hashes of text differ from process to process, and with them the order of sets."""
    command = [HOWDAH, "sim", "--seed", "5", "--hours", "0.03", "--switches", "2x2x2", "--topology", "--json"]
    runs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=PATIENCE_S)
        runs.append(json.loads(done.stdout))
    assert runs[0]["digest"] == runs[1]["digest"]
    assert runs[0]["counts"] == runs[1]["counts"]


def test_a_violation_comes_with_its_story_and_the_command_that_replays_it():
    with planted("groups of others are removed"):
        outcome = simulated(1, shape="2x2x2", discovery=False)
    assert outcome.violation.startswith("foreign entry gone: ")
    assert "connects" in "\n".join(outcome.story)
    assert outcome.plan.command == "howdah sim --seed 1 --hours 0.05 --switches 2x2x2 --topology"


@pytest.mark.parametrize(
    "name",
    [
        "no barrier after changes",
        "groups removed while rules use them",
        "no cookie mask: rules of others are removed",
        "buckets watch no port",
        "a marked packet goes nowhere",
        "elephants never end",
        "the tree has all links",
    ],
)
def test_a_planted_fault_is_found(name):
    with planted(name):
        _, outcome = found(name, 20, MINUTES)
    assert outcome.violation is not None


def test_a_match_needs_what_its_fields_depend_on():
    assert compiled((("eth_dst", "00:04:00:00:01:00/ff:ff:ff:ff:ff:00"),))[1] == (0x000400000100,)
    assert compiled((("eth_type", 0x0800), ("ipv4_dst", "10.0.1.0/24")))[1] == (0x0800, 0x0A000100)
    with pytest.raises(BadMatch, match="tcp_dst needs a match of ip_proto"):
        compiled((("tcp_dst", 80),))
    assert header(in_port=3, eth_type=0x0800) != header(in_port=4, eth_type=0x0800)


@pytest.mark.parametrize("shape", ["2x2", "fat-tree:3", "ring:1", "0x2x2", "200x2x1"])
def test_a_shape_that_is_none_is_named(shape):
    with pytest.raises(ValueError, match=shape):
        fabric(shape)
