"""The detached process behind `howdah lab up`: it holds one Lab until a signal ends it.

Protocol: the parent writes one JSON object (`topology`, `options`, `state`, `document`) to our standard input; we
answer one JSON line, {"ready": seconds} or {"error": why}, and nothing after that. SIGTERM, SIGINT or SIGHUP end us at
any moment, in the middle of building too; the Lab then removes what it made. Unexpected failures after the answer are
in a log beside the state file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from documents import programs
from documents.topology import Spec, SpecError
from topologies.lab import rundir
from topologies.lab.footprint import STATE
from topologies.lab.machine import LabError

ENDED_WITHIN = 60.0  # seconds a keeper gets to remove its lab before it is killed


def launch(spec: Spec, options: Mapping[str, Any], *, document: Path, state: Path = STATE) -> float:
    """Start a keeper and wait until its lab is ready; the seconds that took. LabError says why it did not.

    `options` are the keyword arguments of Lab that JSON can carry (`sflow` as an object); `document` is where the
    finished topology goes. Interrupted while waiting (KeyboardInterrupt, or what a signal handler raises), we end the
    keeper and wait until it has cleaned up.
    """
    order = {"topology": spec.to_json(), "options": options, "state": str(state), "document": str(document)}
    rundir.prepare(state.parent)
    log = log_beside(state)
    with open(rundir.new_log(log), "wb") as errors:
        keeper = subprocess.Popen(
            programs.command("topologies.lab.keeper", state),  # the path only to be seen by ps
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in the terminal goes to our parent, which ends us
        )
    try:
        assert keeper.stdin is not None and keeper.stdout is not None
        with keeper.stdin, keeper.stdout:
            keeper.stdin.write(json.dumps(order).encode())
            keeper.stdin.close()
            answer = keeper.stdout.read()  # ends when the keeper has answered, not when it has ended
    except BaseException:
        keeper.terminate()
        keeper.wait()
        _discard_if_empty(log)
        raise
    report = json.loads(answer or b"{}")
    if "ready" not in report:
        keeper.wait()
        raise LabError(report.get("error") or f"the lab's keeper failed; see {log}")
    return float(report["ready"])


def log_beside(state: Path) -> Path:
    """Where the keeper of the lab with this state file writes unexpected failures; removed with the lab if empty."""
    return state.with_name(f"{state.stem}.log")


@contextlib.contextmanager
def signals_raise() -> Iterator[Callable[[], None]]:
    """Within, the first SIGTERM, SIGINT or SIGHUP raises SystemExit; further ones cannot disturb the cleaning up.
    SIGHUP stays ignored if it was ignored before, as nohup(1) wants it.

    Yields a function that raises it again if there was one: some imports (ovs.poller) swallow whatever is raised.
    """
    watched = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        watched.append(signal.SIGHUP)
    came: list[int] = []

    def check() -> None:
        if came:
            raise SystemExit(128 + came[0])

    def end(number: int, _: object) -> None:
        if not came:
            came.append(number)
            check()

    before = {number: signal.signal(number, end) for number in watched}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> int:
    """Build what standard input describes, answer, and wait for the end; the exit code if that cannot be."""
    began = time.monotonic()
    with signals_raise() as check, _quiet_log(Path(sys.argv[1])):
        try:
            order = json.load(sys.stdin)
            lab = _lab(order)
            check()
            with lab:
                check()
                _answer({"ready": round(time.monotonic() - began, 3)})
                while True:
                    signal.pause()
        except (LabError, SpecError) as error:
            _answer({"error": str(error)})
            return 1


@contextlib.contextmanager
def _quiet_log(state: Path) -> Iterator[None]:
    """Remove the log in the end unless something was written."""
    try:
        yield
    finally:
        sys.stderr.flush()
        _discard_if_empty(log_beside(state))


def _discard_if_empty(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # keeper and parent may both come to clean up
        if log.stat().st_size == 0:
            log.unlink()


def _lab(order: Mapping[str, Any]) -> Any:
    from ovs_rules.ovsdb import Sflow  # noqa: PLC0415  launch() is imported by the command line, which starts fast
    from topologies.lab.lab import Lab  # noqa: PLC0415

    options: dict[str, Any] = dict(order["options"])
    if options.get("sflow"):
        options["sflow"] = Sflow(**options["sflow"])
    options |= {"topology": Path(order["document"]), "state": Path(order["state"])}
    return Lab(Spec.from_json(order["topology"]), **options)


def _answer(report: Mapping[str, Any]) -> None:
    """Write the one line and let go of the pipe, so that the parent sees its end."""
    with contextlib.suppress(BrokenPipeError, ValueError):  # the parent was killed; or we have answered before
        os.write(sys.stdout.fileno(), json.dumps(report).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
