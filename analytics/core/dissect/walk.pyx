"""Dissect a sampled header: walk from header to header, and leave the fields where they are.

The state is small: which header is next, where it starts, where the packet ends. Each step claims the slot of its
header, pushes its name, steps over it and answers the next header; the loop in `dissect` ends when a header has no
successor, when nothing is left, or at STACK_DEPTH headers, which also bounds every kind of nesting. Each step checks
what it reads: a header that is cut keeps every field that is there whole, and nothing is read beyond its end.
What is rarer is in transports.pyx, links.pyx, tunnels.pyx (inside of UDP and GRE) and messages.pyx (what is no packet);
each has its own headers and asks the next file for others. Which header may follow which: sflow-wire.md section 5. IPv4
RFC 791, IPv6 RFC 8200, SRv6 RFC 8754, 802.1Q, MPLS RFC 3032, 4385 and 6790, ARP RFC 826.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *
from analytics.core.dissect.transports cimport walk_transport
from analytics.core.wire.extensions cimport (
    AUTHENTICATION, FRAGMENT, MOST_EXTENSIONS, ROUTING, extension_length, is_extension,
)
from analytics.core.wire.xdr cimport be16, be32

cdef enum:
    LONGEST_LENGTH = 1500                           # larger numbers in Ethernet's type field are types

cdef uint8_t NOTHING[16]                            # eight zeros, and as many before: see microflows.make_key
memset(NOTHING, 0, 16)

# -- link layers --

cdef inline Protocol ethernet(Walk* walk) noexcept nogil:
    cdef const uint8_t* at = walk.at
    cdef size_t left = remaining(walk)
    claim(walk.fields, ETH, at, walk.end if left < 12 else at + 12)
    push(walk.fields, P_ETH)
    if left < 14:
        return END
    walk.at = at + 12
    return typed(walk)


cdef inline Protocol typed(Walk* walk) noexcept nogil:
    """The two bytes at walk.at: a type, a length (802.3), or the TPID of a VLAN tag."""
    cdef uint32_t kind = be16(walk.at)
    cdef Protocol next_header = by_type(kind)
    if next_header != P_Q:
        walk.typed = claim(walk.fields, TYPE, walk.at, walk.at + 2)
    walk.at += 2
    if kind <= LONGEST_LENGTH:
        trim(walk, kind)
        return P_LLC
    return next_header


cdef inline Protocol tag(Walk* walk) noexcept nogil:
    claim(walk.fields, VLAN, walk.at, walk.end)
    push(walk.fields, P_Q)
    if remaining(walk) < 4:
        return END
    walk.at += 2
    return typed(walk)


# -- MPLS --

cdef Protocol label(Walk* walk) noexcept nogil:
    """One label. Behind the indicator 7 comes an entropy label, which is no path."""
    cdef Fields* fields = walk.fields
    cdef uint32_t entry
    claim(fields, MPLS, walk.at, walk.end)
    push(fields, P_MPLS)
    if remaining(walk) < 4:
        return END
    entry = be32(walk.at)
    walk.at += 4
    if entry >> 12 == 7 and not entry & 0x100:
        claim(fields, ENTROPY, walk.at, walk.end)
        if remaining(walk) < 4:
            return END
        entry = be32(walk.at)
        walk.at += 4
    return P_MPLS_PAYLOAD if entry & 0x100 else P_MPLS


cdef Protocol labelled(Walk* walk) noexcept nogil:
    """Behind the bottom of the stack: the first nibble says what follows (RFC 4928), Ethernet if nothing else.

    0 begins a control word, but also many a MAC address: then a known type is where it should be without the word.
    """
    cdef uint32_t nibble = walk.at[0] >> 4
    if nibble == 4:
        return P_IP
    if nibble == 6:
        return P_IP6
    if nibble == 1:
        return P_ACH
    if nibble == 0:
        if remaining(walk) < 18:
            return END
        if by_type(be16(walk.at + 12)) == END or by_type(be16(walk.at + 16)) != END:
            walk.at += 4
    return P_ETH


# -- network --

cdef inline Protocol ip4(Walk* walk) noexcept nogil:
    """IPv4. Later fragments have no transport header; a total length of 0 is a segmentation-offload frame."""
    cdef const uint8_t* at = walk.at
    cdef const uint8_t* end = walk.end
    cdef uint32_t header, total
    if at[0] >> 4 != 4:
        return END
    header = (at[0] & 0xF) * 4
    if header < 20 or end - at < header:
        claim(walk.fields, IP, at, end)
        push(walk.fields, P_IP)
        return END
    total = be16(at + 2)
    if total >= header and end - at > total:        # what follows is Ethernet's padding
        walk.end = end = at + total
    claim(walk.fields, IP, at, end)
    push(walk.fields, P_IP)
    walk.at = at + header
    return END if be16(at + 6) & 0x1FFF else <Protocol>BY_PROTOCOL[at[9]]


cdef inline Protocol ip6(Walk* walk) noexcept nogil:
    cdef const uint8_t* at = walk.at
    cdef Fields* fields = walk.fields
    cdef uint32_t length
    cdef int next_slot, fragment_slot
    if at[0] >> 4 != 6:
        return END
    if remaining(walk) < 40:
        claim(fields, IP6, at, walk.end)
        if remaining(walk) > 6:
            claim(fields, NEXT6, at + 6, walk.end)
        push(fields, P_IP6)
        return END
    length = be16(at + 4)
    if length != 0:                                 # 0: a jumbogram
        trim(walk, 40 + length)
    claim(fields, IP6, at, walk.end)
    push(fields, P_IP6)
    next_slot = claim(fields, NEXT6, at + 6, at + 7)
    fragment_slot = claim(fields, FRAG6, NOTHING + 8, NOTHING + 16)
    walk.at = at + 40
    if at[6] in (6, 17, 58):
        return <Protocol>BY_PROTOCOL[at[6]]
    return extensions(walk, at[6], next_slot, fragment_slot)


cdef Protocol extensions(Walk* walk, uint8_t protocol, int next_slot, int fragment_slot) noexcept nogil:
    """The extension headers of IPv6; next_slot and fragment_slot belong to the IPv6 header, -1 if it is too deep."""
    cdef const uint8_t* at
    cdef size_t length
    cdef int _
    for _ in range(MOST_EXTENSIONS):
        if not is_extension(protocol):
            return <Protocol>BY_PROTOCOL[protocol]
        at = walk.at
        if protocol == AUTHENTICATION:
            claim(walk.fields, AH, at, walk.end)
            push(walk.fields, P_AH)
        elif protocol == ROUTING and remaining(walk) > 2 and at[2] == 4:
            claim(walk.fields, SEGMENTS, at, walk.end)
            push(walk.fields, P_SRH)
        if remaining(walk) < 8:
            return END
        length = extension_length(protocol, at)
        if protocol == FRAGMENT and fragment_slot >= 0:
            set_slot(walk.fields, fragment_slot, at, at + 8)
        if next_slot >= 0:
            set_slot(walk.fields, next_slot, at, at + 1)
        if (protocol == FRAGMENT and be16(at + 2) & 0xFFF8) or remaining(walk) < length:
            return END                              # a later fragment: the transport header is elsewhere
        protocol = at[0]
        walk.at += length
    return END if is_extension(protocol) else <Protocol>BY_PROTOCOL[protocol]


cdef Protocol resolution(Walk* walk, Protocol name) noexcept nogil:
    """ARP and RARP."""
    cdef const uint8_t* at = walk.at
    push(walk.fields, name)
    if remaining(walk) >= 8 and be16(at + 2) == 0x0800 and at[4] == 6 and at[5] == 4:
        claim(walk.fields, ARP, at, walk.end)       # any other address lengths would shift the fields
    return END


# -- transport --

cdef inline Protocol user_datagram(Walk* walk) noexcept nogil:
    """UDP: its destination port names what comes next. Port 6343 names nothing: sampled sFlow is not dissected."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t length
    claim(walk.fields, UDP, at, walk.end)
    push(walk.fields, P_UDP)
    if remaining(walk) < 8:
        return END
    length = be16(at + 4)
    if length >= 8:                                 # less: unknown, as in a segmentation-offload frame
        trim(walk, length)
    walk.at = at + 8
    return by_udp_port(be16(at), be16(at + 2))


# -- the loop --

cdef inline Protocol walk_header(Protocol next_header, Walk* walk) noexcept nogil:
    if next_header == P_ETH:
        return ethernet(walk)
    elif next_header == P_Q:
        return tag(walk)
    elif next_header == P_IP:
        return ip4(walk)
    elif next_header == P_IP6:
        return ip6(walk)
    elif next_header == P_TCP:
        return last(walk, TCP, P_TCP)
    elif next_header == P_UDP or next_header == P_UDPLITE:
        return user_datagram(walk) if next_header == P_UDP else last(walk, UDP, P_UDPLITE)
    elif next_header == P_ICMP6:
        return last(walk, ICMP6, P_ICMP6)
    elif next_header == P_MPLS:
        return label(walk)
    elif next_header == P_MPLS_PAYLOAD:
        return labelled(walk)
    elif next_header == P_ARP or next_header == P_RARP:
        return resolution(walk, next_header)
    return walk_transport(next_header, walk)


cdef void dissect(Fields* fields, uint32_t protocol, const uint8_t* header, uint32_t length) noexcept nogil:
    """Find the headers of a sampled packet; `protocol` is the sampled_header's."""
    cdef Walk walk = Walk(fields, header, header + length, -1)
    cdef Protocol next_header = first(protocol)
    fields.start = header
    while next_header != END and walk.at < walk.end and fields.height < STACK_DEPTH:
        next_header = walk_header(next_header, &walk)
    if fields.height:
        set_slot(fields, STACK, <const uint8_t*>fields.stack, <const uint8_t*>fields.stack + STACK_DEPTH)
