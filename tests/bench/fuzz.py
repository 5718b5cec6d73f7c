"""Feed millions of malformed inputs to everything that reads foreign bytes, its native core built with the address
sanitizer (gcc's libasan).

    .venv-test/bin/python tests/bench/fuzz.py 10000000 [--seed 1] [--jobs 2] [--build DIR]
    .venv-test/bin/python tests/bench/fuzz.py --seed 1 --epoch 17        one epoch again, with full reports

copies the source tree to DIR (default: build/fuzz), compiles the core there with AddressSanitizer and
UndefinedBehaviorSanitizer and runs the inputs of tests/analytics/examples/inputs.py through victims.py, epoch by
epoch of EPOCH_INPUTS inputs, shared out among the jobs: what an epoch does follows from seed and number alone, however
many jobs there are. Inputs are in memory of their own; one more job runs every STRICTth epoch with all of Python's
objects so. A job whose interpreter dies, raises, hangs or takes too much memory ends the run; the input that it had in
hand is saved beside DIR's tree, a datagram as a capture that `howdah decode` reads. Before all that, a job that reads
one byte too many on purpose has to die of it. Prints totals, how many inputs were of which kind; the exit code says
whether all went well.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import types
from collections import Counter
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
EPOCH_INPUTS = 2000  # inputs that one engine takes
STRICT = 8  # of so many epochs one has every object of Python in memory of its own, which takes twice the time
HANG_S = 120  # an epoch takes a fraction of a second
ASAN = {
    "detect_leaks": 0,  # the interpreter itself keeps memory to its end
    "abort_on_error": 0,
    "quarantine_size_mb": 32,
    "max_allocation_size_mb": 1024,
    "hard_rss_limit_mb": 4096,
}
BRIEF = {"malloc_context_size": 1}  # deep ones halve the speed; --epoch has them
NOTE = struct.Struct("<QIII32s")  # inputs taken by the job, epoch, number in it, length, kind


def sanitized(directory: Path) -> Path:
    """A copy of the tree with an instrumented core; what is up to date there is not built again."""
    for part in (
        "analytics",
        "documents",
        "ovs_rules",
        "tests",
        "topologies",
        "controller",
        "setup.py",
        "setup.cfg",
        "pyproject.toml",
    ):
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.c")
            shutil.copytree(source, directory / part, ignore=ignore, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, directory / part)
    flags = os.environ | {"CFLAGS": f"{SANITIZE} -O2", "LDFLAGS": "-fsanitize=address,undefined"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=directory, env=flags, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return directory


def environment(directory: Path, options: dict[str, int], seed: int) -> dict[str, str]:
    """What makes a Python of the copy run under the sanitizer."""
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return os.environ | {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in (ASAN | options).items()),
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONHASHSEED": str(seed & 0xFFFFFFFF),  # the core's hash tables take theirs from it
        "PYTHONWARNINGS": "ignore::FutureWarning",  # of patterns in requests
        "PYTHONPATH": str(directory),
    }


# -- a job: a process of the copy --


def import_here() -> None:
    """Make this tree's `tests` importable."""
    sys.path.insert(0, str(ROOT))
    sys.modules["tests"] = types.ModuleType("tests")  # ours is no package, and ryu installs one of that name
    sys.modules["tests"].__path__ = [str(ROOT / "tests")]


def share(job: int, jobs: int, epochs: int) -> list[int]:
    """The epochs of a job. Job 0 takes every STRICTth, the others what is left."""
    if job == 0:
        return list(range(0, epochs, STRICT))
    return [epoch for epoch in range(epochs) if epoch % STRICT][job - 1 :: jobs]


def work(epochs: list[int], inputs: int, seed: int, note_file: Path) -> None:
    """Run these epochs out of `inputs` inputs; the totals go to standard output as JSON."""
    import_here()
    from tests.analytics.examples.inputs import Inputs  # noqa: PLC0415 - the sanitized core only in the sanitized process
    from tests.bench.victims import Victim  # noqa: PLC0415

    sums: Counter[str] = Counter()
    source, taken = Inputs(seed), 0
    with note_file.open("r+b") as file, mmap.mmap(file.fileno(), 0) as note:
        for epoch in epochs:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            victim = Victim(epoch)
            wanted = min(EPOCH_INPUTS, inputs - epoch * EPOCH_INPUTS)
            for number, (kind, wire) in enumerate(islice(source.epoch(epoch), wanted)):
                NOTE.pack_into(note, 0, taken + number, epoch, number, len(wire), kind.encode())
                note[NOTE.size : NOTE.size + len(wire)] = wire
                victim.take(kind, wire)
            sums += victim.end()
            taken += victim.taken
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps({"inputs": taken, "CPU seconds": round(time.process_time())} | sums))


def step_beyond() -> None:
    """Read the byte behind an input, which the sanitizer must not let pass."""
    import_here()
    from tests.bench.victims import HEAD, guarded  # noqa: PLC0415

    wire = guarded(os.urandom(100))
    ctypes.string_at(id(wire) + HEAD, 100)
    print("inside", flush=True)
    ctypes.string_at(id(wire) + HEAD, 101)


# -- the run --


class Job:
    """A process with its share of the epochs, and the note it keeps of the input in hand."""

    def __init__(self, number: int, arguments: list[str], directory: Path, settings: dict[str, str]) -> None:
        self.note = directory / f"job{number}.note"
        self.note.write_bytes(bytes(1 << 20))
        command = [sys.executable, str(directory / "tests/bench/fuzz.py"), *arguments, "--note", str(self.note)]
        settings = settings | ({"PYTHONMALLOC": "malloc"} if number == 0 else {})
        self.process = subprocess.Popen(command, cwd=directory, env=settings, stdout=subprocess.PIPE, text=True)

    def in_hand(self) -> tuple[int, int, int, str, bytes]:
        """(inputs taken before, epoch, number in it, kind, input)."""
        data = self.note.read_bytes()
        taken, epoch, number, length, kind = NOTE.unpack_from(data)
        return taken, epoch, number, kind.rstrip(b"\0").decode(), data[NOTE.size : NOTE.size + length]


def capture_of(wire: bytes) -> bytes:
    """A capture file of one datagram."""
    udp = struct.pack(">HHHH", 6343, 6343, 8 + len(wire) & 0xFFFF, 0) + wire
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp) & 0xFFFF, 0, 0, 64, 17, 0, 0xC0000201, 0xC0000202) + udp
    return (
        struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    )


def report(job: Job, seed: int, directory: Path) -> None:
    """Save the input that a failed job had in hand and say how to see it again."""
    _, epoch, number, kind, wire = job.in_hand()
    saved = directory / f"failed-{seed}-{epoch}-{number}"
    if kind == "request":
        saved = saved.with_suffix(".txt")
        saved.write_bytes(wire)
    else:
        saved = saved.with_suffix(".pcap")
        saved.write_bytes(wire if kind == "capture file" else capture_of(wire))
    print(f"FAILED with exit code {job.process.returncode}: seed {seed}, epoch {epoch}, input {number} ({kind})")
    print(f"  saved as {saved}\n  again: {sys.executable} {__file__} --seed {seed} --epoch {epoch}\n  {wire.hex()}")


def run(given: argparse.Namespace, directory: Path, settings: dict[str, str]) -> int:
    """Start the jobs, say once a minute how far they are, add up their totals."""
    began = reported = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the jobs end too
    jobs = []
    for number in range(given.jobs + 1):
        what = ["--epoch", str(given.epoch)] if given.epoch is not None else ["--share", str(number), str(given.jobs)]
        arguments = [str(given.inputs), "--seed", str(given.seed), *what]
        jobs.append(Job(number, arguments, directory, settings))
    failed = None
    try:
        while failed is None and any(job.process.poll() is None for job in jobs):
            time.sleep(0.2)
            failed = next((job for job in jobs if job.process.poll()), None)
            if time.monotonic() - reported >= 60:
                reported = time.monotonic()
                print(f"{sum(job.in_hand()[0] for job in jobs)} inputs, {reported - began:.0f} s", flush=True)
    finally:
        for job in jobs:
            job.process.terminate()
    if failed is not None:
        report(failed, given.seed, directory)
        return 1
    sums: Counter[str] = sum((Counter(json.loads(job.process.communicate()[0])) for job in jobs), Counter())
    took = time.monotonic() - began
    print(f"{sums['inputs']} inputs, seed {given.seed}, {len(jobs)} processes, {took:.0f} s: nothing escaped")
    for name in sorted(sums):
        print(f"  {name}: {sums[name]}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("inputs", type=int, nargs="?", default=EPOCH_INPUTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core")
    parser.add_argument("--epoch", type=int, help="run this one again, alone")
    parser.add_argument("--build", type=Path, default=ROOT / "build/fuzz")
    parser.add_argument("--note", type=Path, help=argparse.SUPPRESS)  # the rest is for jobs
    parser.add_argument("--share", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--step-beyond", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step_beyond:
        step_beyond()
    elif given.note:
        epochs = [given.epoch] if given.epoch is not None else share(*given.share, -(-given.inputs // EPOCH_INPUTS))
        work(epochs, given.inputs, given.seed, given.note)
    else:
        if given.epoch is not None:
            given.inputs, given.jobs = (given.epoch + 1) * EPOCH_INPUTS, 0
        directory = sanitized(given.build.resolve())
        settings = environment(directory, BRIEF if given.epoch is None else {}, given.seed)
        watched = subprocess.run(
            [sys.executable, str(directory / "tests/bench/fuzz.py"), "--step-beyond"],
            cwd=directory, env=settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if watched.returncode == 0 or watched.stdout != "inside\n" or "AddressSanitizer" not in watched.stderr:
            print(f"the sanitizer does not watch:\n{watched.stdout}{watched.stderr}", file=sys.stderr)
            return 2
        return run(given, directory, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
