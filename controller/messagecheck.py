"""Every length in an OpenFlow message is checked here before Ryu parses it.

Ryu 4.34 trusts the lengths that a peer writes: an element of length 0 makes its parsers loop for ever (CVE-2024-34483
to 34489). So each message is walked once along the structures of OpenFlow Switch Specification 1.5.1 (section numbers
below): an element lies inside the one that holds it, is as long as its kind must be at least, and the next one starts
behind it. What passes, Ryu's parsers can read in one pass; what does not raises MalformedMessage and costs the peer its
connection.

Only the messages that this controller uses are passed on at all (`is_wanted`): Ryu would parse any other type, and any
message of an older OpenFlow version, with parsers that are not needed here. A hello may be of any version, because all
versions share its layout and it is how a switch says that it speaks no 1.5.

Cost: linear in the message's length, at most 64 KiB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

VERSION = 6  # OpenFlow 1.5
HEADER = struct.Struct("!BBHI")  # version, type, length, transaction id

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REPLY = 0, 1, 2, 3, 6
PACKET_IN, FLOW_REMOVED, PORT_STATUS, MULTIPART_REPLY, BARRIER_REPLY = 10, 11, 12, 19, 21
FLOW_DESC, PORT_STATS, GROUP_STATS, GROUP_DESC, PORT_DESC = 1, 4, 6, 7, 13

_MATCH_OXM = 1
_EXPERIMENTER_CLASS = 0xFFFF
_VERSION_BITMAP = 1
_HELLO_FAILED = 0
_WRITE_ACTIONS, _APPLY_ACTIONS, _CLEAR_ACTIONS = 3, 4, 5
_SET_FIELD = 25
_OUTPUT, _EXPERIMENTER = 0, 0xFFFF
MAX_HELLO = 256  # bytes; there are six versions, not 30,000
_ETHERNET_PORT = 0
_U16, _U32, _TWO_U16 = struct.Struct("!H"), struct.Struct("!I"), struct.Struct("!HH")


class MalformedMessage(ValueError):
    """What is wrong with a message, and at which byte."""


def is_wanted(message: bytes) -> bool:
    """Whether to give a message to Ryu; False for one that this controller has no use for.

    `message` is whole, header included. Raises MalformedMessage if a length in a wanted message cannot be.
    """
    version, kind, length, _ = HEADER.unpack_from(message)
    if length != len(message):
        raise MalformedMessage(f"length {length} of {len(message)} bytes")
    check = _MESSAGES.get(kind)
    if check is None or (version != VERSION and kind != HELLO):
        return False
    return check(message)


def _at_least(message: bytes, size: int, what: str) -> None:
    if len(message) < size:
        raise MalformedMessage(f"{what} of {len(message)} bytes, at least {size} needed")


def _elements(
    message: bytes, at: int, end: int, what: str, *, least: int = 4, length_at: int = 2, padded: bool = False
) -> Iterator[tuple[int, int]]:
    """(start, end) of each element from `at` to `end`: a 16-bit length, `length_at` bytes into it, counts all of it.

    With `padded` the next element starts at a multiple of 8 bytes behind this one's start.
    """
    while at < end:
        if end - at < max(least, length_at + 2):
            raise MalformedMessage(f"{what} cut short at byte {at}")
        length = _U16.unpack_from(message, at + length_at)[0]
        if length < least or at + length > end:
            raise MalformedMessage(f"{what} of length {length} at byte {at}, {end - at} bytes are left")
        yield at, at + length
        at += (length + 7) // 8 * 8 if padded else length
    if at > end:
        raise MalformedMessage(f"padding of {what} ends behind byte {end}")


def _hello(message: bytes) -> bool:
    """7.5.1. Without padding, as Ryu reads it: a bitmap of the versions that exist is 8 bytes long and needs none."""
    if len(message) > MAX_HELLO:
        raise MalformedMessage(f"hello of {len(message)} bytes, more than {MAX_HELLO}")
    for start, end in _elements(message, HEADER.size, len(message), "hello element"):
        if _U16.unpack_from(message, start)[0] == _VERSION_BITMAP and ((end - start) % 4 or end - start < 8):
            raise MalformedMessage(f"version bitmap of length {end - start} at byte {start}")
    return True


def _fixed(size: int, what: str) -> Callable[[bytes], bool]:
    def check(message: bytes) -> bool:
        _at_least(message, size, what)
        return True

    return check


def _error(message: bytes) -> bool:
    """7.5.4. One that does not quote the header of what it refuses says nothing that we could use."""
    _at_least(message, 12, "error")
    return len(message) >= 12 + HEADER.size and _U16.unpack_from(message, HEADER.size)[0] != _HELLO_FAILED


def _packet_in(message: bytes) -> bool:
    """7.4.1."""
    _at_least(message, 32, "packet-in")
    if _match(message, 24, len(message)) + 2 > len(message):
        raise MalformedMessage("packet-in ends before its frame")
    return True


def _flow_removed(message: bytes) -> bool:
    """7.4.2."""
    _at_least(message, 32, "flow-removed")
    at = _match(message, 24, len(message))
    if at < len(message):
        _stats(message, at, len(message))
    return True


def _port_status(message: bytes) -> bool:
    """7.4.3."""
    _at_least(message, 56, "port-status")
    _ports(message, 16, len(message))
    return True


def _multipart_reply(message: bytes) -> bool:
    """7.3.5."""
    _at_least(message, 16, "multipart reply")
    check = _MULTIPARTS.get(_U16.unpack_from(message, HEADER.size)[0])
    if check is None:
        return False
    check(message, 16, len(message))
    return True


def _match(message: bytes, at: int, end: int) -> int:
    """7.2.3; answers where its padding ends."""
    return _fields(message, at, end, "match")


def _stats(message: bytes, at: int, end: int) -> int:
    """7.2.4, the fields of a flow entry's statistics; answers where the padding ends."""
    return _fields(message, at, end, "statistics")


def _fields(message: bytes, at: int, end: int, what: str) -> int:
    """A 16-bit type, a 16-bit length without the padding, then OXM or OXS fields (7.2.3.2, 7.2.4.2)."""
    if end - at < 8:
        raise MalformedMessage(f"{what} cut short at byte {at}")
    length: int = _TWO_U16.unpack_from(message, at)[1]
    padded = at + (length + 7) // 8 * 8
    if length < 4 or padded > end:
        raise MalformedMessage(f"{what} of length {length} at byte {at}, {end - at} bytes are left")
    _oxm(message, at + 4, at + length, what)
    return padded


def _oxm(message: bytes, at: int, end: int, what: str) -> None:
    """Fields of a class, a number, and an 8-bit length of what follows; experimenters' begin with their 32-bit id."""
    while at < end:
        if end - at < 4:
            raise MalformedMessage(f"field of {what} cut short at byte {at}")
        length = message[at + 3]
        if _U16.unpack_from(message, at)[0] == _EXPERIMENTER_CLASS and length < 4:
            raise MalformedMessage(f"experimenter field of length {length} at byte {at}")
        at += 4 + length
    if at > end:
        raise MalformedMessage(f"field of {what} ends behind byte {end}")


def _instructions(message: bytes, at: int, end: int) -> None:
    """7.2.5."""
    for start, stop in _elements(message, at, end, "instruction", least=8):
        kind = _U16.unpack_from(message, start)[0]
        if kind in (_WRITE_ACTIONS, _APPLY_ACTIONS, _CLEAR_ACTIONS):
            _actions(message, start + 8, stop)
        elif stop - start != 8:
            raise MalformedMessage(f"instruction {kind} of length {stop - start} at byte {start}")


def _actions(message: bytes, at: int, end: int) -> None:
    """7.2.6. Lengths are exact, because Ryu steps over an action by the size that its kind has."""
    for start, _ in _elements(message, at, end, "action", least=8):
        kind, length = _TWO_U16.unpack_from(message, start)
        if kind == _SET_FIELD:
            good = length == (8 + message[start + 7] + 7) // 8 * 8
        elif kind == _EXPERIMENTER:
            good = length % 8 == 0
        else:
            good = length == (16 if kind == _OUTPUT else 8)
        if not good:
            raise MalformedMessage(f"action {kind} of length {length} at byte {start}")


def _flow_descs(message: bytes, at: int, end: int) -> None:
    """7.3.5.2."""
    for start, stop in _elements(message, at, end, "flow description", least=40, length_at=0):
        inside = _match(message, start + 24, stop)
        _instructions(message, _stats(message, inside, stop), stop)


def _group_descs(message: bytes, at: int, end: int) -> None:
    """7.3.5.10; buckets 7.3.4.3.1."""
    for start, stop in _elements(message, at, end, "group description", least=16, length_at=0):
        buckets_end = start + 16 + _U16.unpack_from(message, start + 8)[0]
        if buckets_end > stop:
            raise MalformedMessage(f"buckets of the group at byte {start} end behind it")
        for bucket, bucket_end in _elements(message, start + 16, buckets_end, "bucket", least=8, length_at=0):
            actions_end = bucket + 8 + _U16.unpack_from(message, bucket + 2)[0]
            if actions_end > bucket_end:
                raise MalformedMessage(f"actions of the bucket at byte {bucket} end behind it")
            _actions(message, bucket + 8, actions_end)
            _properties(message, actions_end, bucket_end, "bucket property", 8)
        _properties(message, buckets_end, stop, "group property", 12)


def _properties(message: bytes, at: int, end: int, what: str, least: int) -> None:
    for _ in _elements(message, at, end, what, least=least, padded=True):
        pass


def _ports(message: bytes, at: int, end: int) -> None:
    """7.2.1."""
    for start, stop in _elements(message, at, end, "port", least=40, length_at=4):
        for prop, prop_end in _elements(message, start + 40, stop, "port property", padded=True):
            if _U16.unpack_from(message, prop)[0] == _ETHERNET_PORT and prop_end - prop < 32:
                raise MalformedMessage(f"ethernet property of length {prop_end - prop} at byte {prop}")


def _port_stats(message: bytes, at: int, end: int) -> None:
    """7.3.5.7."""
    for start, stop in _elements(message, at, end, "port counters", least=80, length_at=0):
        _properties(message, start + 80, stop, "property of port counters", 4)


def _group_stats(message: bytes, at: int, end: int) -> None:
    """7.3.5.9."""
    for start, stop in _elements(message, at, end, "group counters", least=40, length_at=0):
        if (stop - start - 40) % 16:
            raise MalformedMessage(f"group counters of length {stop - start} at byte {start}")


_MULTIPARTS = {
    FLOW_DESC: _flow_descs,
    PORT_STATS: _port_stats,
    GROUP_STATS: _group_stats,
    GROUP_DESC: _group_descs,
    PORT_DESC: _ports,
}
_MESSAGES: dict[int, Callable[[bytes], bool]] = {
    HELLO: _hello,
    ERROR: _error,
    ECHO_REQUEST: _fixed(8, "echo request"),
    ECHO_REPLY: _fixed(8, "echo reply"),
    FEATURES_REPLY: _fixed(32, "features reply"),
    PACKET_IN: _packet_in,
    FLOW_REMOVED: _flow_removed,
    PORT_STATUS: _port_status,
    MULTIPART_REPLY: _multipart_reply,
    BARRIER_REPLY: _fixed(8, "barrier reply"),
}
