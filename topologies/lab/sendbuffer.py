"""The one socket through which Open vSwitch's userspace datapath sends on all veth interfaces of all bridges.

Every packet that waits in a link's queue is charged to this socket (netdev-linux.c, af_packet_sock), and its default
limit of 208 KiB is full with 92 packets in the whole fabric. Further packets are then dropped inside ovs-vswitchd,
whatever link or class they are for: one busy link costs packets on idle ones, the queues never fill to their limits,
and marking has no effect. Only ovs-vswitchd holds the socket, so we borrow its descriptor (pidfd_getfd(2), Linux 5.6,
root) and raise the limit. It is a limit and takes no memory by itself; it lasts until ovs-vswitchd restarts, and is
never lowered, because other bridges may have come to need it.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

PIDFD_GETFD = 438  # the same system call number on all architectures
SO_SNDBUFFORCE = 32  # setsockopt(2) beyond net.core.wmem_max, which we leave as it is
CHARGED = 2560  # bytes charged for a full frame: data in a 2 KiB slab, sk_buff beside it (2304 seen), and a margin


def widen(packets: int, rundir: Path) -> bool:
    """Let `packets` full frames wait in all queues together; False if ovs-vswitchd has not opened the socket yet.

    `rundir` holds ovs-vswitchd.pid. OSError if the system does not let us.
    """
    pid = int((rundir / "ovs-vswitchd.pid").read_text())
    descriptor = _descriptor(pid)
    if descriptor is None:
        return False
    with _borrowed(pid, descriptor) as sock:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < packets * CHARGED:
            sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, packets * CHARGED // 2)  # the kernel doubles it
    return True


def _descriptor(pid: int) -> int | None:
    """The number, in that process, of its packet socket that is bound to no interface and no protocol."""
    rows = (line.split() for line in Path(f"/proc/{pid}/net/packet").read_text().splitlines()[1:])
    inodes = {row[8] for row in rows if row[3] == "0000" and row[4] == "0"}  # Proto, Iface, ..., Inode
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return int(entry.name)
    return None


def _borrowed(pid: int, descriptor: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        ours = libc.syscall(PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if ours < 0:
        raise OSError(ctypes.get_errno(), f"descriptor {descriptor} of ovs-vswitchd: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=ours)
