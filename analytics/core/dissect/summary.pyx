"""sampled_ethernet, sampled_ipv4 and sampled_ipv6 of a sample without a sampled_header -> the fields of a packet.

The records (sflow-wire.md section 3: 0:2, 0:3, 0:4) name addresses, ports, flags and type of service. From these a
packet is written in Fields.summary, and its headers claim the slots that the header walk would claim, so every key and
filter works on it. What the records do not say reads as zero: ipttl, ipflags, ipfragoffset, ip6flowlabel,
ip6hoplimit. A record that is cut, or whose numbers fit no header, is left out.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport (
    DCCP, ETH, IP, IP6, NEXT6, P_DCCP, P_ETH, P_IP, P_IP6, P_SCTP, P_TCP, P_UDP, P_UDPLITE, SCTP, STACK, STACK_DEPTH,
    SUMMARY_BYTES, TCP, TYPE, UDP, Fields, Protocol, claim, push, set_slot,
)
from analytics.core.staticassert cimport static_assert
from analytics.core.wire.sflow cimport FlowSample
from analytics.core.wire.xdr cimport be32, left, swap16

cdef enum:
    ETHERNET = 24                                   # bytes of the records
    IPV4 = 32
    IPV6 = 56
    NETWORK_AT = 14                                 # where the headers are written
    HIGHEST = 0xFFFF
    LONGEST = NETWORK_AT + 40 + 14                  # Ethernet, IPv6, TCP up to its flags

static_assert(LONGEST <= SUMMARY_BYTES)


cdef inline void write16(uint8_t* at, uint32_t value) noexcept nogil:
    cdef uint16_t wire = swap16(<uint16_t>value)
    memcpy(at, &wire, 2)


cdef void ethernet(Fields* fields, const uint8_t* record) noexcept nogil:
    """Length, source, destination (8 bytes each), type."""
    cdef uint8_t* header = fields.summary
    memcpy(header, record + 12, 6)
    memcpy(header + 6, record + 4, 6)
    claim(fields, ETH, header, header + 12)
    push(fields, P_ETH)
    if be32(record + 20) <= HIGHEST:
        write16(header + 12, be32(record + 20))
        claim(fields, TYPE, header + 12, header + 14)


cdef void transport(Fields* fields, uint8_t* header, uint32_t protocol, const uint8_t* ports) noexcept nogil:
    """Source port, destination port, flags, of the protocols that have ports."""
    cdef int slot = UDP
    cdef Protocol name = P_UDP
    if be32(ports) > HIGHEST or be32(ports + 4) > HIGHEST:
        return
    if protocol == 6:
        slot, name = TCP, P_TCP
    elif protocol == 33:
        slot, name = DCCP, P_DCCP
    elif protocol == 132:
        slot, name = SCTP, P_SCTP
    elif protocol == 136:
        name = P_UDPLITE
    elif protocol != 17:
        return
    write16(header, be32(ports))
    write16(header + 2, be32(ports + 4))
    write16(header + 12, be32(ports + 8) & 0x1FF)
    claim(fields, slot, header, header + (14 if protocol == 6 else 4))
    push(fields, name)


cdef void ip4(Fields* fields, const uint8_t* record) noexcept nogil:
    """Length, protocol, addresses, ports, flags, type of service."""
    cdef uint8_t* header = fields.summary + NETWORK_AT
    cdef uint32_t length = be32(record)
    if be32(record + 4) > 255:
        return
    header[0] = 0x45
    header[1] = record[31]
    write16(header + 2, length if length <= HIGHEST else 0)
    header[9] = record[7]
    memcpy(header + 12, record + 8, 8)
    claim(fields, IP, header, header + 20)
    push(fields, P_IP)
    transport(fields, header + 20, header[9], record + 16)


cdef void ip6(Fields* fields, const uint8_t* record) noexcept nogil:
    """The same with longer addresses; the last word is the priority, 8 bits of traffic class."""
    cdef uint8_t* header = fields.summary + NETWORK_AT
    cdef uint32_t length = be32(record)
    if be32(record + 4) > 255:
        return
    header[0] = 0x60 | record[55] >> 4
    header[1] = <uint8_t>(record[55] << 4)
    write16(header + 4, length - 40 if 40 <= length <= HIGHEST + 40 else 0)
    header[6] = record[7]
    memcpy(header + 8, record + 8, 32)
    claim(fields, IP6, header, header + 40)
    push(fields, P_IP6)
    claim(fields, NEXT6, header + 6, header + 7)
    transport(fields, header + 40, header[6], record + 40)


cdef void summarise(Fields* fields, const FlowSample* sample) noexcept nogil:
    """Write the packet: sampled_ethernet first, then the first of the others that is whole."""
    cdef uint32_t i, tag
    cdef size_t size
    cdef const uint8_t* ethernet_at = NULL
    cdef const uint8_t* ip4_at = NULL
    cdef const uint8_t* ip6_at = NULL
    for i in range(sample.kept):
        tag, size = sample.records[i].tag, left(&sample.records[i].body)
        if tag == 2 and size >= ETHERNET and ethernet_at == NULL:
            ethernet_at = sample.records[i].body.at
        elif tag == 3 and size >= IPV4 and ip4_at == NULL:
            ip4_at = sample.records[i].body.at
        elif tag == 4 and size >= IPV6 and ip6_at == NULL:
            ip6_at = sample.records[i].body.at
    memset(fields.summary, 0, sizeof(fields.summary))
    fields.start = &fields.summary[0 if ethernet_at != NULL else NETWORK_AT]
    if ethernet_at != NULL:
        ethernet(fields, ethernet_at)
    if ip4_at != NULL:
        ip4(fields, ip4_at)
    elif ip6_at != NULL:
        ip6(fields, ip6_at)
    if fields.height:
        set_slot(fields, STACK, <const uint8_t*>fields.stack, <const uint8_t*>fields.stack + STACK_DEPTH)
