"""What a decision about an elephant costs, and how good the placements are; without switches, in virtual time.

    python tests/bench/decisions.py [connect|cost|quality] [--seeds 20]

connect: all switches of a fabric connect, one after another; seconds of processor time until each was told its rules,
the most rules and groups of a switch without and with hosts, and resident memory at most. Hosts are numbered in a row
at each leaf, or have random MACs.
cost: elephants come one by one between random hosts, each event brings a new one with its path; milliseconds of
processor time from the event to the rules, of the second half of the events. quality: every host sends at once, ECMP
places at random, then decisions follow until there is nothing more to do; max-min throughput as a share of what any
routing could give (links of an edge switch pooled), before and after, and moves per flow. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from controller.conductor import Conductor, Report
from controller.control import ElephantControl, Policy
from controller.elephants import Elephant
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.policy.fairshare import fair_share
from controller.records import Counts
from controller.steering import Steering
from controller.topology import Fabric, Host, Link, Path, Port, Switch
from scripts.experiments.patterns import Pairs, rand, randbij, randx, stride
from topologies.fattree import fattree
from topologies.leafspine import leafspine

AGENT, SPEED = "192.0.2.1", 5_000_000
ROUNDS = 30  # of decisions
PATTERNS: dict[str, Callable[[int, random.Random], Pairs]] = {
    "random bijection": randbij,
    "stride": lambda n, rng: stride(n, 1 + rng.randrange(n - 1)),
    "random": rand,
    "two each": lambda n, rng: randx(n, 2, rng),
}


def seen_by_sflow(fabric: Fabric) -> Fabric:
    """The fabric with an ifIndex for every port."""
    switches: dict[str, Switch] = {}
    count = 0
    for switch in fabric.switches.values():
        ports = {n: replace(port, ifindex=str(count + n)) for n, port in switch.ports.items()}
        count += len(ports)
        switches[switch.name] = replace(switch, ports=ports, agent=AGENT)
    links = (
        Link(
            link.name,
            switches[link.source.switch].ports[link.source.number],
            switches[link.target.switch].ports[link.target.number],
        )
        for link in fabric.links
    )
    return replace(fabric, switches=switches, links=tuple(links))


def large_leafspine(spines: int, leaves: int, hosts: int) -> Fabric:
    """A leaf-spine beyond what `topologies.leafspine` numbers."""
    sizes = {f"spine{n}": leaves for n in range(spines)} | {f"leaf{n}": hosts + spines for n in range(leaves)}
    switches = {
        name: Switch(name, dpid, {n: Port(name, n, f"{name}-eth{n}", SPEED) for n in range(1, size + 1)})
        for dpid, (name, size) in enumerate(sizes.items(), 1)
    }
    cables = [
        (switches[f"leaf{leaf}"].ports[hosts + 1 + spine], switches[f"spine{spine}"].ports[leaf + 1])
        for leaf in range(leaves)
        for spine in range(spines)
    ]
    links = [Link(one.name, *ends) for one, other in cables for ends in ((one, other), (other, one))]
    stations = [
        Host(f"h{leaf}-{n}", f"02:00:00:{leaf >> 8:02x}:{leaf & 255:02x}:{n:02x}", f"leaf{leaf}", n,
             (f"10.{leaf >> 8}.{leaf & 255}.{n}",), fixed=True)
        for leaf in range(leaves)
        for n in range(1, hosts + 1)
    ]  # fmt: skip
    return Fabric(switches, tuple(links), tuple(stations))


def with_random_macs(fabric: Fabric) -> Fabric:
    rng = random.Random(1)
    hosts = (replace(host, mac=f"02{rng.getrandbits(40):010x}") for host in fabric.hosts)
    return replace(fabric, hosts=tuple(replace(host, mac=":".join(re.findall("..", host.mac))) for host in hosts))


def connect(fabric: Fabric) -> dict[str, float]:
    began = time.process_time()
    conductor = Conductor(fabric=fabric)
    for switch in fabric.switches.values():
        conductor.switch_up(switch.dpid, Report(switch.name, switch.ports, dict.fromkeys(switch.ports, True)), now=0.0)
    took = time.process_time() - began
    most: Counter[str] = Counter()
    for dpid, ledger in conductor.ledgers.items():
        kind = "leaf" if conductor.fabric.edge_ports(conductor.fabric.by_dpid[dpid].name) else "spine"
        held = ledger.installed
        most |= Counter({f"{kind}_rules": len(held.rules), f"{kind}_groups": len(held.groups)})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(took, 2), **most, "memory_mb": round(memory)}


def cost(fabric: Fabric, elephants: int, seed: int = 1) -> dict[str, float]:
    """Milliseconds of one event."""
    fabric, rng = seen_by_sflow(fabric), random.Random(seed)
    hosts, control, times = Hosts(fabric.hosts), ElephantControl(Policy(), Counts()), []
    for number in range(elephants):
        now = 100.0 + 0.05 * number
        one, other = rng.sample(fabric.hosts, 2)
        flow = FlowKey(one.addresses[0], other.addresses[0], 6, 1024 + number, 80)
        path = rng.choice(fabric.paths(one.switch, other.switch))
        ports = [fabric.switches[one.switch].ports[one.port], *(link.target for link in path)]
        seen = [FlowObservation(flow, AGENT, str(port.ifindex), 4e6, now) for port in ports]
        began = time.process_time()
        control.observed(fabric, hosts, seen, now, complete=False)
        control.wanted(fabric, hosts, now)
        times.append(1e3 * (time.process_time() - began))
    percentiles = statistics.quantiles(times[elephants // 2 :], n=100)
    return {"p50_ms": round(percentiles[49], 2), "p99_ms": round(percentiles[98], 2), "moves": control.counts.moves}


def throughput(fabric: Fabric, flows: dict[FlowKey, Elephant], paths: dict[FlowKey, Path] | None) -> float:
    """The max-min total on these paths, or at best, in links' speeds."""
    uses = {}
    room: dict[object, float] = {}
    for flow, elephant in flows.items():
        ends = [("in", elephant.entry), ("out", elephant.exit)]
        if paths is not None:
            ends += [("on", link) for link in paths[flow]]
        elif elephant.exit is not None and elephant.entry.switch != elephant.exit.switch:
            ends += [("up", elephant.entry.switch), ("down", elephant.exit.switch)]
        uses[flow] = ends
        room |= {end: len(fabric.link_ports(end[1])) if end[0] in ("up", "down") else 1.0 for end in ends}
    return sum(fair_share(uses, room).values())


def quality(fabric: Fabric, pattern: str, seed: int) -> tuple[float, float, float]:
    """(share before, share after, moves per flow)."""
    rng = random.Random(seed)
    flows = {}
    for number, (one, other) in enumerate(PATTERNS[pattern](len(fabric.hosts), rng)):
        source, target = fabric.hosts[one], fabric.hosts[other]
        flow = FlowKey(source.addresses[0], target.addresses[0], 6, 1024 + number, 80)
        entry, exit = (fabric.switches[host.switch].ports[host.port] for host in (source, target))
        flows[flow] = Elephant(flow, entry, SPEED, 0.0, 0.0, exit)
    paths = {flow: rng.choice(elephant.paths(fabric)) for flow, elephant in flows.items()}
    best, before, moves = throughput(fabric, flows, None), throughput(fabric, flows, paths), 0
    steering = Steering(fabric)
    for flow, elephant in flows.items():
        steering.see(elephant, paths[flow])
    for number in range(ROUNDS):
        steering.retry()
        for move in steering.decide(10.0 * number, hold=2.0):
            paths[move.flow] = move.path
            moves += 1
    return before / best, throughput(fabric, flows, paths) / best, moves / len(flows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("connect", "cost", "quality"), nargs="?")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    if options.what in (None, "connect"):
        small, large = large_leafspine(16, 64, 16), large_leafspine(24, 976, 16)
        for name, fabric in (
            ("leaf-spine 16 x 64, 1024 hosts", small),
            ("leaf-spine 16 x 64, 1024 hosts, random MACs", with_random_macs(small)),
            ("leaf-spine 24 x 976, 15,616 hosts", large),
        ):
            print(json.dumps({"fabric": name, **connect(fabric)}), flush=True)
    if options.what in (None, "cost"):
        for name, fabric, elephants in (
            ("leaf-spine 16 x 64, 1024 hosts", large_leafspine(16, 64, 16), 500),
            ("leaf-spine 16 x 64, 1024 hosts", large_leafspine(16, 64, 16), 1000),
            ("leaf-spine 24 x 976, 15,616 hosts", large_leafspine(24, 976, 16), 5000),
            ("fat-tree 8, 128 hosts", Fabric.from_spec(fattree(8)), 200),
            ("fat-tree 16, 1024 hosts", Fabric.from_spec(fattree(16)), 1000),
        ):
            print(json.dumps({"fabric": name, "elephants": elephants, **cost(fabric, elephants)}), flush=True)
    if options.what in (None, "quality"):
        for name, fabric in (
            ("leaf-spine 4 x 4 x 4", Fabric.from_spec(leafspine(4, 4, 4, 5))),
            ("leaf-spine, 2 spines, 4 x 4", Fabric.from_spec(leafspine(2, 4, 4, 5))),
            ("fat-tree 4", Fabric.from_spec(fattree(4))),
            ("fat-tree 6", Fabric.from_spec(fattree(6))),
            ("fat-tree 8", Fabric.from_spec(fattree(8))),
        ):
            for pattern in PATTERNS:
                rows = [quality(fabric, pattern, seed) for seed in range(options.seeds)]
                before, after, moves = zip(*rows, strict=True)
                shares = {"ecmp": before, "steered": after}
                means = {key: round(statistics.mean(values), 3) for key, values in shares.items()}
                more = {"worst": round(min(after), 3), "moves_per_flow": round(statistics.mean(moves), 2)}
                print(json.dumps({"fabric": name, "pattern": pattern, **means, **more}), flush=True)


if __name__ == "__main__":
    main()
