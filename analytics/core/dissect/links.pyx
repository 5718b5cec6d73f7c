"""Link layers other than Ethernet and its tags, and the headers that put Ethernet into Ethernet.

LLC and SNAP (802.2), 802.11, PPP RFC 1661 with bridging RFC 3518, PPPoE RFC 2516, Cisco's HDLC, PBB (802.1ah), TRILL
RFC 6325, MACsec (802.1AE). Each function is a step of the header walk (walk.pyx): claim the slot, push the name, step
over the header, answer the next header.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *
from analytics.core.dissect.tunnels cimport walk_tunnel
from analytics.core.wire.xdr cimport be16


cdef Protocol logical_link(Walk* walk) noexcept nogil:
    """LLC; behind SNAP with Ethernet's own numbers comes an Ethernet type."""
    cdef const uint8_t* at = walk.at
    claim(walk.fields, LLC, at, walk.end)
    push(walk.fields, P_LLC)
    if remaining(walk) < 3:
        return END
    if at[0] == 0x42:
        return P_STP
    if at[0] == 0xFE:
        return P_ISIS
    if at[0] != 0xAA or at[2] != 3 or remaining(walk) < 8:
        return END
    if at[3] != 0 or at[4] != 0 or at[5] not in (0, 0xF8):
        return P_SNAP
    if walk.typed >= 0:
        set_slot(walk.fields, walk.typed, at + 6, at + 8)
    walk.at += 8
    return by_type(be16(at + 6))


cdef Protocol wireless(Walk* walk) noexcept nogil:
    """802.11 data frames: address 1 receives, 2 sends; the bits To DS and From DS say where the end stations are.

    Some access points swap the two bytes of the frame control in CAPWAP. To or From DS, which are set there, then read
    as a version other than 0, which no frame has.
    """
    cdef const uint8_t* at = walk.at
    cdef uint8_t* pair
    cdef size_t length = 24
    cdef uint32_t ds_bits
    cdef uint8_t kind, flags
    cdef int depth = depth_of(walk.fields, ETH)
    push(walk.fields, P_WLAN)
    if remaining(walk) < length:
        return END
    kind, flags = at[0], at[1]
    if kind & 3:
        kind, flags = flags, kind
    if kind & 0xF != 8:                             # version 0, type data
        return END
    ds_bits = flags & 3
    if ds_bits == 3:
        length += 6
    if kind & 0x80:                                 # quality of service
        length += 2 + (4 if flags & 0x80 else 0)    # and its +HTC field
    if remaining(walk) < length:
        return END
    if depth < DEPTH:
        pair = &walk.fields.addresses[MAC_PAIR * depth]
        memcpy(pair, at + 16 if ds_bits & 1 else at + 4, 6)
        memcpy(pair + 6, at + 24 if ds_bits == 3 else at + 16 if ds_bits == 2 else at + 10, 6)
        claim(walk.fields, ETH, pair, pair + MAC_PAIR)
    walk.at += length
    return END if kind & 0x40 or flags & 0x40 else P_LLC   # no data, or encrypted


cdef Protocol pppoe(Walk* walk) noexcept nogil:
    cdef uint32_t length
    claim(walk.fields, PPPOE, walk.at, walk.end)
    push(walk.fields, P_PPPOE)
    if remaining(walk) < 6 or walk.at[1] != 0:      # a code: the discovery stage
        return END
    length = be16(walk.at + 4)
    walk.at += 6
    trim(walk, length)
    return P_PPP


cdef Protocol ppp(Walk* walk) noexcept nogil:
    """RFC 1661. Address and control, and the first byte of the protocol, may be compressed away."""
    cdef uint32_t kind
    push(walk.fields, P_PPP)
    if remaining(walk) >= 2 and walk.at[0] == 0xFF and walk.at[1] == 3:
        walk.at += 2
    if walk.at < walk.end and walk.at[0] & 1:
        kind = walk.at[0]
        walk.at += 1
    else:
        claim(walk.fields, PPP, walk.at, walk.end)
        if remaining(walk) < 2:
            return END
        kind = be16(walk.at)
        walk.at += 2
    if kind == 0x21:
        return P_IP
    if kind == 0x57:
        return P_IP6
    if kind == 0x31:
        return bridged(walk)
    return P_MPLS if kind in (0x281, 0x283) else END


cdef Protocol bridged(Walk* walk) noexcept nogil:
    """A LAN over PPP (RFC 3518): flags, the kind of MAC, 4 bytes of LAN number if flagged; then Ethernet, kind 1."""
    cdef const uint8_t* at = walk.at
    if not step(walk, 2) or at[1] != 1:
        return END
    return P_ETH if not at[0] & 0x40 or step(walk, 4) else END


cdef Protocol hdlc(Walk* walk) noexcept nogil:
    """Cisco's HDLC on a POS link: address, 0, an Ethernet type. Anything else there is PPP."""
    cdef const uint8_t* at = walk.at
    if at[0] not in (0x0F, 0x8F) or (remaining(walk) >= 2 and at[1] != 0):
        return P_PPP
    push(walk.fields, P_HDLC)
    if remaining(walk) < 4:
        return END
    walk.typed = claim(walk.fields, TYPE, at + 2, at + 4)
    walk.at += 4
    return by_type(be16(at + 2))


cdef Protocol backbone(Walk* walk) noexcept nogil:
    """802.1ah: the I-tag, then the customer's frame."""
    claim(walk.fields, PBB, walk.at, walk.end)
    push(walk.fields, P_PBB)
    return P_ETH if step(walk, 4) else END


cdef Protocol trill(Walk* walk) noexcept nogil:
    """RFC 6325: flags and the length of options, egress, ingress, options."""
    claim(walk.fields, TRILL, walk.at, walk.end)
    push(walk.fields, P_TRILL)
    if remaining(walk) < 6:
        return END
    return P_ETH if step(walk, 6 + 4 * (be16(walk.at) >> 6 & 0x1F)) else END


cdef Protocol walk_link(Protocol next_header, Walk* walk) noexcept nogil:
    """The headers of this file; others are those of tunnels."""
    if next_header == P_LLC:
        return logical_link(walk)
    elif next_header == P_PPPOE:
        return pppoe(walk)
    elif next_header == P_PPP:
        return ppp(walk)
    elif next_header == P_HDLC:
        return hdlc(walk)
    elif next_header == P_WLAN:
        return wireless(walk)
    elif next_header == P_PBB:
        return backbone(walk)
    elif next_header == P_TRILL:
        return trill(walk)
    elif next_header == P_MACSEC:
        return last(walk, MACSEC, P_MACSEC)
    return walk_tunnel(next_header, walk)
