"""Messages in UDP that are keys and carry no packet: questions to the DNS (RFC 1035), and RoCEv2.

Of a DNS message the first question is read: its name is written as text in Fields.names. RoCEv2 is InfiniBand's base
transport header with what follows it in reliable and unreliable connections (InfiniBand specification 1, section 9;
sflow-rt-api.md 2.3 has the names of the keys). DNS is no name on the stack, as sFlow-RT has none for it.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *
from analytics.core.wire.xdr cimport be16

cdef enum:
    DNS_HEADER = 12
    IBBT_HEADER = 12
    LONGEST_NAME = 255                              # on the wire
    MOST_LABELS = 127


cdef uint32_t name_length(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Bytes of a name on the wire; 0 when it is cut, compressed or too long."""
    cdef const uint8_t* start = at
    while at < end and at - start < LONGEST_NAME:
        if at[0] == 0:
            return <uint32_t>(at + 1 - start)
        if at[0] > 63:                              # a pointer: the first name has nothing to point to
            return 0
        at += at[0] + 1
    return 0


cdef void write_name(uint8_t* out, const uint8_t* at, uint32_t length) noexcept nogil:
    """A name as text with a dot behind each label, in NAME_ROOM bytes: of a longer one the last labels that fit."""
    cdef uint32_t size
    memset(out, 0, NAME_BYTES)
    while length - 1 > NAME_BYTES:
        length -= at[0] + 1
        at += at[0] + 1
    if length == 1:
        out[0] = b"."                               # the root
    while length > 1:
        size = at[0]
        memcpy(out, at + 1, size)
        out[size] = b"."
        out += size + 1
        at += size + 1
        length -= size + 1


cdef Protocol domain(Walk* walk) noexcept nogil:
    """A DNS message with a question."""
    cdef Fields* fields = walk.fields
    cdef const uint8_t* question = walk.at + DNS_HEADER
    cdef uint8_t* out
    cdef uint32_t length
    cdef int slot = claim(fields, DNS, walk.at, walk.end)
    if slot < 0 or remaining(walk) <= DNS_HEADER or be16(walk.at + 4) == 0:
        return END
    length = name_length(question, walk.end)
    if length == 0:
        return END
    out = &fields.names[NAME_BYTES * (slot >> 6)]
    write_name(out, question, length)
    set_slot(fields, slot - DNS + DNSNAME, out, out + NAME_BYTES)
    set_slot(fields, slot - DNS + DNSTYPE, question + length, walk.end)
    return END


cdef Protocol infiniband(Walk* walk) noexcept nogil:
    """The upper three bits of the opcode: 0 reliable connection, 1 unreliable."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t opcode = at[0]
    claim(walk.fields, IBBT, at, walk.end)
    push(walk.fields, P_IBBT)
    if remaining(walk) <= IBBT_HEADER:
        return END
    if opcode in (6, 10, 11, 12, 0x26, 0x2A, 0x2B):     # the first or only packet of an RDMA write, a read request
        claim(walk.fields, IBRETH, at + IBBT_HEADER, walk.end)
    elif opcode in (13, 15, 16, 17, 18) and at[IBBT_HEADER] & 0x60 == 0:    # acknowledged, and not refused
        claim(walk.fields, IBAETH, at + IBBT_HEADER, walk.end)
    return END


cdef Protocol walk_message(Protocol next_header, Walk* walk) noexcept nogil:
    return domain(walk) if next_header == P_DNS else infiniband(walk)
