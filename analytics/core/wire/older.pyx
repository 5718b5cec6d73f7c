"""sFlow versions 2 and 4, as old agents still send them, written anew as version 5 (RFC 3176, which is version 4).

    datagram  version | agent address | sequence | uptime ms | count | sample*
    sample    1 flow      sequence | source | rate | pool | drops | input | output | packet | count | extended*
              2 counters  sequence | source | interval s | kind | if_counters | what the kind adds
    packet    1 header    protocol | frame length | header opaque<>         2 sampled_ipv4, 3 sampled_ipv6
    extended  1 switch, 2 router, 3 gateway, 4 user, 5 url

Everything behind `upgrade` reads version 5 only. The copy costs what a datagram is long; no newer agent pays for it.

Nothing in these versions has a length of its own, so what cannot be read ends the datagram. The samples before it
stand, and the reader of version 5 counts a fault, because the datagram announces more.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from analytics.core.wire.xdr cimport Window, left, swap32, take32

cdef enum:
    FLOW_WORDS = 7                                  # of a flow sample before its packet
    IF_COUNTERS_BYTES = 88
    AS_SEQUENCE = 2


cdef struct Rewrite:
    Window rest                                     # of the old datagram
    uint8_t* at                                     # where the new one goes on
    uint8_t* end


cdef bint put32(Rewrite* it, uint32_t value) noexcept nogil:
    cdef uint32_t wire = swap32(value)
    if it.end - it.at < 4:
        return 0
    memcpy(it.at, &wire, 4)
    it.at += 4
    return 1


cdef bint copy(Rewrite* it, size_t length) noexcept nogil:
    """Bytes that both versions have; 0 when they are not there."""
    if left(&it.rest) < length or <size_t>(it.end - it.at) < length:
        return 0
    memcpy(it.at, it.rest.at, length)
    it.rest.at += length
    it.at += length
    return 1


cdef bint copy_word(Rewrite* it, uint32_t* value) noexcept nogil:
    return take32(&it.rest, value) and put32(it, value[0])


cdef bint copy_address(Rewrite* it) noexcept nogil:
    """There is no unknown address in these versions."""
    cdef uint32_t kind = 0
    return copy_word(it, &kind) and kind in (1, 2) and copy(it, 4 if kind == 1 else 16)


cdef bint copy_list(Rewrite* it) noexcept nogil:
    cdef uint32_t count = 0
    return copy_word(it, &count) and copy(it, 4 * <size_t>count)


cdef bint copy_opaque(Rewrite* it) noexcept nogil:
    """Padding that is missing at the end of the datagram is added."""
    cdef uint32_t length = 0
    cdef size_t padding
    if not copy_word(it, &length) or not copy(it, length):
        return 0
    padding = (0 - length) & 3
    if <size_t>(it.end - it.at) < padding:
        return 0
    memset(it.at, 0, padding)
    it.at += padding
    it.rest.at += min(padding, left(&it.rest))
    return 1


cdef bint end_structure(Rewrite* it, uint8_t* body) noexcept nogil:
    """Write the length of what began there."""
    cdef uint32_t wire = swap32(<uint32_t>(it.at - body))
    memcpy(body - 4, &wire, 4)
    return 1


cdef bint counted(Rewrite* it, uint32_t tag, size_t length) noexcept nogil:
    """A record whose body is the same in both versions, of so many bytes."""
    return put32(it, tag) and put32(it, <uint32_t>length) and copy(it, length)


cdef bint packet(Rewrite* it) noexcept nogil:
    cdef uint32_t kind = 0
    cdef uint8_t* body
    if not take32(&it.rest, &kind):
        return 0
    if kind == 2:
        return counted(it, 3, 32)
    if kind == 3:
        return counted(it, 4, 56)
    if kind != 1 or not put32(it, 1) or not put32(it, 0):
        return 0
    body = it.at
    return copy(it, 8) and put32(it, 0) and copy_opaque(it) and end_structure(it, body)  # nothing is said of stripping


cdef bint gateway(Rewrite* it, bint version2) noexcept nogil:
    """No next hop; version 2 has a plain AS path, and no communities nor local preference."""
    cdef uint32_t segments = 0, segment = 0, numbers = 0
    if not put32(it, 0) or not copy(it, 12):
        return 0
    if version2:
        if not take32(&it.rest, &numbers):
            return 0
        if numbers and not (put32(it, 1) and put32(it, AS_SEQUENCE) and put32(it, numbers)
                            and copy(it, 4 * <size_t>numbers)):
            return 0
        return (numbers or put32(it, 0)) and put32(it, 0) and put32(it, 0)
    if not copy_word(it, &segments):
        return 0
    while segments:
        if not copy_word(it, &segment) or not copy_list(it):
            return 0
        segments -= 1
    return copy_list(it) and copy(it, 4)


cdef bint extended(Rewrite* it, bint version2) noexcept nogil:
    cdef uint32_t kind = 0
    cdef uint8_t* body
    if not take32(&it.rest, &kind) or not 1 <= kind <= 5 or not put32(it, 1000 + kind) or not put32(it, 0):
        return 0
    body = it.at
    if kind == 1:
        return copy(it, 16) and end_structure(it, body)
    if kind == 2:
        return copy_address(it) and copy(it, 8) and end_structure(it, body)
    if kind == 3:
        return gateway(it, version2) and end_structure(it, body)
    if kind == 4:                                   # character sets: unknown
        return (put32(it, 0) and copy_opaque(it) and put32(it, 0) and copy_opaque(it)
                and end_structure(it, body))
    return copy(it, 4) and copy_opaque(it) and put32(it, 0) and end_structure(it, body)  # no host


cdef bint flow(Rewrite* it, bint version2) noexcept nogil:
    cdef uint32_t more = 0
    cdef uint32_t wire
    cdef uint8_t* records
    if not copy(it, 4 * FLOW_WORDS):
        return 0
    records = it.at
    if not put32(it, 0) or not packet(it) or not take32(&it.rest, &more):
        return 0
    wire = swap32(more + 1)
    memcpy(records, &wire, 4)
    while more:
        if not extended(it, version2):
            return 0
        more -= 1
    return 1


cdef bint counters(Rewrite* it) noexcept nogil:
    """All kinds begin with if_counters but VLANs; FDDI (4) and WAN (6) add nothing."""
    cdef uint32_t interval = 0, kind = 0
    if (not copy(it, 8) or not take32(&it.rest, &interval) or not take32(&it.rest, &kind)
            or not 1 <= kind <= 7):
        return 0
    if kind == 7:
        return put32(it, 1) and counted(it, 5, 28)
    if not put32(it, 2 if kind in (2, 3, 5) else 1) or not counted(it, 1, IF_COUNTERS_BYTES):
        return 0
    if kind == 2:
        return counted(it, 2, 52)
    if kind == 3:
        return counted(it, 3, 72)
    return counted(it, 4, 80) if kind == 5 else 1


cdef bint sample(Rewrite* it, bint version2) noexcept nogil:
    cdef uint32_t kind = 0
    cdef uint8_t* body
    if not take32(&it.rest, &kind) or kind not in (1, 2) or not put32(it, kind) or not put32(it, 0):
        return 0
    body = it.at
    return (flow(it, version2) if kind == 1 else counters(it)) and end_structure(it, body)


cdef size_t upgrade(const uint8_t* at, size_t length, uint8_t* out) noexcept nogil:
    """Write a datagram of version 2 or 4 as version 5 into UPGRADED_BYTES; answers its length, 0 when it is neither."""
    cdef Rewrite it = Rewrite(Window(at, at + length), out, out + UPGRADED_BYTES)
    cdef uint32_t version = 0, samples = 0
    cdef uint8_t* whole
    if not take32(&it.rest, &version) or version not in (2, 4):
        return 0
    put32(&it, 5)
    if not copy_address(&it):
        return 0
    put32(&it, 0)                                   # these have no sub-agents
    if not copy(&it, 8) or not copy_word(&it, &samples):
        return 0
    while samples:
        whole = it.at
        if not sample(&it, version == 2):
            it.at = whole
            break
        samples -= 1
    return it.at - out
