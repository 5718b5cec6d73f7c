"""The machine's own tools, ip, tc, mnexec and ovs-vsctl, run many commands at a time; what they refuse is quoted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path


class LabError(Exception):
    """The lab cannot be built, found or removed; one line that names what is in the way."""


def require_root() -> None:
    """LabError unless we may make network namespaces and bridges."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root: it makes network namespaces and bridges (use sudo)")


def run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a system tool to its end with `text` on its standard input; LabError if it is not installed."""
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed (run scripts/setup)") from None


def interfaces() -> dict[str, str]:
    """The interfaces of this network namespace with their MACs (asked of the kernel: /sys may show another one's)."""
    listed = run(["ip", "-json", "link", "show"])
    if listed.returncode:
        raise LabError(f"ip link show: {last_line(listed.stderr)}")
    return {entry["ifname"]: entry.get("address", "") for entry in json.loads(listed.stdout)}


def last_line(text: str) -> str:
    """The last line of a tool's output, which says why it failed."""
    return text.strip().rpartition("\n")[2] or "failed without a message"


def batch(tool: list[str], lines: list[str]) -> None:
    """Feed lines to `ip -batch` or `tc -batch`; LabError quotes the line that was refused."""
    done = run([*tool, "-batch", "-"], "".join(f"{line}\n" for line in lines))
    if done.returncode:
        number = done.stderr.rpartition("-:")[2].strip()
        line = lines[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(lines) else ""
        raise LabError(f"{' '.join(tool)} {line}: {done.stderr.strip().splitlines()[0]}")


def heredoc(command: str, lines: list[str]) -> list[str]:
    return [f"{command} <<END", *lines, "END"]


def in_namespace(pid: int, script: str) -> subprocess.Popen[str]:
    command = ["mnexec", "-a", str(pid), "sh", "-ec", script]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def together(processes: dict[str, subprocess.Popen[str]]) -> None:
    """Wait for all; LabError names the first host whose script failed."""
    complaints = {name: process.communicate()[1] for name, process in processes.items()}
    for name, process in processes.items():
        if process.returncode:
            raise LabError(f"host {name!r}: {last_line(complaints[name])}")


def silence_ipv6(interface: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
