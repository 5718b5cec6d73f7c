"""Feed millions of malformed inputs to everything native, built with the address sanitizer (gcc's libasan).

    .venv/bin/python tests/bench/fuzz.py 2000000 [--seed 1] [--build DIR]

copies the source tree to DIR (default: build/fuzz), compiles the native core there with AddressSanitizer and
UndefinedBehaviorSanitizer, and runs the inputs in that copy with every bytes object in memory of its own, so that a
read beyond a datagram ends the run with a report. Of 16 inputs one is built by structure, ten are such with blind edits
and five are recorded datagrams with blind edits. Each goes through the engine (decode, account, dissect,
aggregate, counters) and through every printer. Prints totals; the exit code says whether all went well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
import types
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
LIFE = 2000  # inputs that one engine takes
POOL = 2048  # inputs by structure that are at hand for edits; the oldest is replaced every 16 inputs
FORMS = ("text", "json", "csv", "pcap")
DEFINITIONS = {
    "carried": {"keys": "or:ipsource:ip6source,null:vlan,stack", "value": "bytes", "filter": "ipttl!=1"},
    "judged": {"keys": "mask:ipsource:8,null:[link:inputifindex],eq:vlan:ipttl", "value": "ipbytes"},
    "inner": {
        "keys": "null:ipsource.1,null:ip6source.2,null:macsource.1,inputifindex,outputifindex",
        "value": "frames",
    },
    "routed": {"keys": "null:bgpdestinationaspath,null:ipnexthoprouter,null:bgpcommunities", "value": "bytes"},
    "tunnels": {"keys": "null:inputipsource,null:outputip6source,null:inputvni,null:queueindex", "value": "frames"},
    "records": {"keys": "null:aclname,null:natipsource,null:mplsinputlabels", "value": "frames"},
    "requests": {"keys": "null:uripath,null:httphost", "value": "frames", "filter": "httpmethod!=GET"},
    "names": {"keys": "suffix:dnsqname:.:2,dnsqtypename,dnsqr", "value": "frames"},
    "drops": {"keys": "reason,null:ipsource", "value": "frames", "dropped": True},
}


def sanitized(directory: Path) -> Path:
    """A copy of the tree with an instrumented core; what is up to date there is not built again."""
    for part in ("analytics", "tests", "topologies", "controller", "setup.py", "setup.cfg", "pyproject.toml"):
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.c")
            shutil.copytree(source, directory / part, ignore=ignore, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, directory / part)
    flags = os.environ | {"CFLAGS": f"{SANITIZE} -O1", "LDFLAGS": "-fsanitize=address,undefined"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=directory, env=flags, check=True, stdout=subprocess.DEVNULL)
    return directory


def run_sanitized(directory: Path, inputs: int, seed: int) -> int:
    """Run the inputs in a process of the copy; answers its exit code."""
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    settings = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # the interpreter itself keeps memory to its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(directory),
    }
    command = [sys.executable, str(directory / "tests/bench/fuzz.py"), str(inputs), "--seed", str(seed), "--here"]
    return subprocess.run(command, cwd=directory, env=os.environ | settings, check=False).returncode


class Victim:
    """Everything native that takes what came from the network."""

    def __init__(self) -> None:
        from analytics.core.printer import Printer  # noqa: PLC0415 - the sanitized core only in the sanitized process

        self.printers = [Printer(form) for form in FORMS]
        self.taken = 0
        self.sums: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        """Another engine: random agents and ports without end would make its answers slow."""
        from analytics.engine import Engine  # noqa: PLC0415

        self.engine = Engine()
        for name, spec in DEFINITIONS.items():
            self.engine.set_flow(name, spec)
        self.engine.set_threshold("any", {"metric": "carried", "value": 1, "byFlow": True})

    def take(self, number: int, wire: bytes) -> None:
        """One input; now and then also the questions that users ask."""
        now = 1000 + number / 1000
        self.engine.feed([wire], now)
        for printer in self.printers:
            printer.feed(wire, now, "192.0.2.1", "then")
        if number % 256 == 0:
            self.sums["bytes printed"] += sum(len(printer.take()) for printer in self.printers)
        self.taken += 1
        if self.taken % LIFE == 0:
            self.engine.tick(now)
            self.engine.dump(["ALL"], ["ALL"], {}, now)
            for name in DEFINITIONS:
                self.engine.active_flows(["ALL"], name, now)
            self.book()
            self.engine.close()
            self.renew()

    def book(self) -> None:
        """Add up what the engine counted."""
        numbers = self.engine.analyzer(0)
        agents = self.engine.agents(0).values()
        self.sums += Counter(
            {
                "datagrams": numbers["sFlowDatagramsReceived"],
                "not sFlow 5": numbers["sFlowParseErrors"] + numbers["sFlowUnsupportedVersion"],
                "agents": len(agents),
                "flow samples": sum(each["sFlowFlowSamples"] for each in agents),
                "counter samples": sum(each["sFlowCounterSamples"] for each in agents),
                "discards": sum(each["sFlowDiscardSamples"] for each in agents),
                "skipped samples": sum(each["sFlowSkippedSamples"] for each in agents),
                "faults": sum(each["sFlowFaults"] for each in agents),
            }
        )


def recorded() -> list[bytes]:
    """The datagrams of the captures in tests/analytics/captures."""
    from analytics.capture import datagrams  # noqa: PLC0415

    captures = sorted((ROOT / "tests/analytics/captures").glob("*.pcap"))
    return [payload for path in captures for _, _, payload in datagrams(path, 6343)]


def attack(victim: Victim, inputs: int, seed: int) -> None:
    """Feed that many inputs; all of it follows from the seed."""
    from tests.analytics.generator import Generator, mutate  # noqa: PLC0415

    chance, generator, real = random.Random(seed), Generator(seed), recorded()
    pool = [generator.datagram() for _ in range(min(POOL, inputs))]
    for number in range(inputs):
        kind = number % 16
        if kind == 0:
            wire = pool[number // 16 % len(pool)] = generator.datagram()
        else:
            wire = mutate(chance, chance.choice(pool if kind <= 10 else real))
        victim.take(number, wire)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("inputs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", type=Path, default=ROOT / "build/fuzz")
    parser.add_argument("--here", action="store_true", help="use the core as it is built, without a sanitizer of ours")
    given = parser.parse_args()
    if not given.here:
        return run_sanitized(sanitized(given.build), given.inputs, given.seed)
    sys.path.insert(0, str(ROOT))
    sys.modules["tests"] = types.ModuleType("tests")  # ours is no package, and ryu installs one of that name
    sys.modules["tests"].__path__ = [str(ROOT / "tests")]
    victim, began = Victim(), time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):  # then the totals are of what was fed until then
        attack(victim, given.inputs, given.seed)
    print(f"{victim.taken} inputs, seed {given.seed}, {time.monotonic() - began:.0f} s: nothing escaped")
    victim.book()
    for name, total in victim.sums.items():
        print(f"  {name}: {total}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
