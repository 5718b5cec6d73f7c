"""Tunnels: the headers that carry another packet, and how the packet inside is recognised.

A tunnel over UDP is recognised by its port, so each step also checks its header's fixed bits first; a header that fails
the check is left unnamed. GRE RFC 2784, 2890 and 2637, NVGRE RFC 7637, VXLAN RFC 7348, VXLAN-GPE
draft-ietf-nvo3-vxlan-gpe, Geneve RFC 8926, NSH RFC 8300, LISP RFC 9300, GTP-U 3GPP TS 29.281, Teredo RFC 4380, CAPWAP
RFC 5415, L2TP RFC 2661 and 3931, ERSPAN draft-foschiano-erspan, EtherIP RFC 3378, ESP in UDP RFC 3948, EoIP as
MikroTik's routers send it and Wireshark reads it (no specification is published).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from analytics.core.dissect.messages cimport walk_message
from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *
from analytics.core.wire.xdr cimport be16, be32

cdef enum:
    MOST_GTP_EXTENSIONS = 8                         # longer chains are not followed


cdef Protocol by_nibble(const Walk* walk) noexcept nogil:
    """An IP packet that says itself which version it is."""
    if walk.at >= walk.end:
        return END
    if walk.at[0] >> 4 == 4:
        return P_IP
    return P_IP6 if walk.at[0] >> 4 == 6 else END


# -- GRE --

cdef Protocol generic(Walk* walk) noexcept nogil:
    """GRE: flags, protocol, then what the flags announce: checksum, key, sequence."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t flags, kind
    claim(walk.fields, GRE, at, walk.end)
    push(walk.fields, P_GRE)
    if not step(walk, 4):
        return END
    flags, kind = be16(at), be16(at + 2)
    if flags & 7 == 1:
        return ethernet_over_ip(walk, flags) if kind == 0x6400 else point_to_point(walk, flags)
    if flags & 0x4007:                              # source routes are obsolete, other versions unknown
        return END
    if flags & 0x8000 and not step(walk, 4):
        return END
    if flags & 0x2000:
        claim(walk.fields, GREKEY, walk.at, walk.end)
        if kind == 0x6558:                          # NVGRE looks like this, and so does Ethernet in GRE
            claim(walk.fields, GREVSID, walk.at, walk.end)
            claim(walk.fields, VNI, walk.at, walk.end)
        if not step(walk, 4):
            return END
    if flags & 0x1000:
        claim(walk.fields, GRESEQUENCE, walk.at, walk.end)
        if not step(walk, 4):
            return END
    if kind == 0x88BE and flags & 0x1000:
        return P_ERSPAN2
    if kind == 0x88BE:                              # ERSPAN type I has no header of its own
        push(walk.fields, P_ERSPAN2)
        return P_ETH
    if kind == 0x22EB:
        return P_ERSPAN3
    return P_WCCP if kind == 0x883E else by_type(kind)


cdef Protocol point_to_point(Walk* walk, uint32_t flags) noexcept nogil:
    """Version 1, PPTP: length and call, then sequence and acknowledgement if there are any, then PPP."""
    cdef int depth = depth_of(walk.fields, GREKEY)
    cdef uint8_t* call = &walk.fields.calls[4 * depth]
    if remaining(walk) >= 4 and depth < DEPTH:      # the call alone is the key: each packet has its own length
        memcpy(call, b"\0\0", 2)
        memcpy(call + 2, walk.at + 2, 2)
        claim(walk.fields, GREKEY, call, call + 4)
    if not step(walk, 4):
        return END
    if flags & 0x1000:
        claim(walk.fields, GRESEQUENCE, walk.at, walk.end)
        if not step(walk, 4):
            return END
    if flags & 0x0080 and not step(walk, 4):
        return END
    return P_PPP if flags & 0x1000 else END         # without a sequence number it is an acknowledgement alone


cdef Protocol ethernet_over_ip(Walk* walk, uint32_t flags) noexcept nogil:
    """EoIP, GRE version 1 too: length of the frame and the tunnel's number, then the frame; length 0 keeps alive."""
    cdef const uint8_t* at = walk.at
    if flags & 0xFFF8 != 0x2000 or not step(walk, 4) or be16(at) == 0:
        return END
    trim(walk, be16(at))
    return P_ETH


cdef Protocol mirrored(Walk* walk, size_t length) noexcept nogil:
    """ERSPAN types II and III; III says what it carries and may have 8 bytes more."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t frame
    claim(walk.fields, ERSPAN, at, walk.end)
    push(walk.fields, P_ERSPAN2)                    # one name for all types: the stack is a key
    if not step(walk, length) or at[0] >> 4 != (1 if length == 8 else 2):
        return END
    if length == 8:
        return P_ETH
    if at[11] & 1 and not step(walk, 8):
        return END
    frame = be16(at + 10) >> 10 & 0x1F
    if frame == 0:
        return P_ETH
    return by_nibble(walk) if frame == 2 else END


cdef Protocol redirected(Walk* walk) noexcept nogil:
    """WCCP: version 2 has a header of 4 bytes, version 1 none."""
    push(walk.fields, P_WCCP)
    if walk.at[0] >> 4 != 4 and not step(walk, 4):
        return END
    return by_nibble(walk)


cdef Protocol ethernet_in_ip(Walk* walk) noexcept nogil:
    push(walk.fields, P_ETHERIP)
    return P_ETH if walk.at[0] >> 4 == 3 and step(walk, 2) else END


# -- UDP --

cdef Protocol virtual_lan(Walk* walk, bint generic_extension) noexcept nogil:
    """VXLAN, and VXLAN-GPE, which says what it carries. Without the flag "the VNI is valid" it is neither."""
    cdef const uint8_t* at = walk.at
    if not at[0] & 0x08:
        return END
    claim(walk.fields, VXLAN, at, walk.end)
    if remaining(walk) > 4:
        claim(walk.fields, VNI, at + 4, walk.end)
    push(walk.fields, P_GPE if generic_extension else P_VXLAN)
    if not step(walk, 8):
        return END
    return by_next(at[3]) if generic_extension and at[0] & 0x04 else P_ETH


cdef Protocol geneve(Walk* walk) noexcept nogil:
    cdef const uint8_t* at = walk.at
    if at[0] >> 6 != 0:
        return END
    claim(walk.fields, GENEVE, at, walk.end)
    if remaining(walk) > 4:
        claim(walk.fields, VNI, at + 4, walk.end)
    push(walk.fields, P_GENEVE)
    if not step(walk, 8) or not step(walk, 4 * (at[0] & 0x3F)):
        return END
    return by_type(be16(at + 2))


cdef Protocol service(Walk* walk) noexcept nogil:
    """NSH: its length is in words and counts itself."""
    cdef const uint8_t* at = walk.at
    cdef size_t length
    if at[0] >> 6 != 0:
        return END
    claim(walk.fields, NSH, at, walk.end)
    push(walk.fields, P_NSH)
    if remaining(walk) < 8:
        return END
    length = 4 * (at[1] & 0x3F)
    return by_next(at[3]) if length >= 8 and step(walk, length) else END


cdef Protocol mobile(Walk* walk) noexcept nogil:
    """GTP-U version 1; only a G-PDU carries a packet."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t following
    cdef int _
    if at[0] >> 4 != 3:                             # version 1, not charging (GTP')
        return END
    claim(walk.fields, GTP, at, walk.end)
    push(walk.fields, P_GTP)
    if not step(walk, 8) or at[1] != 0xFF:
        return END
    if at[0] & 7:                                   # sequence, N-PDU number, type of the first extension
        if not step(walk, 4):
            return END
        following = at[11] if at[0] & 4 else 0
        for _ in range(MOST_GTP_EXTENSIONS):
            if following == 0:
                break
            if walk.at >= walk.end or walk.at[0] == 0 or remaining(walk) < 4 * <size_t>walk.at[0]:
                return END
            walk.at += 4 * walk.at[0]
            following = (walk.at - 1)[0]
        if following:
            return END
    return by_nibble(walk)


cdef Protocol teredo(Walk* walk) noexcept nogil:
    """IPv6, behind authentication (0, 1, two lengths, what they count, 9 bytes) and origin (0, 0, 6 bytes) if given."""
    cdef const uint8_t* at = walk.at
    if remaining(walk) < 4:
        return END
    if be16(at) == 1 and not step(walk, 13 + at[2] + at[3]):
        return END
    if remaining(walk) >= 8 and be16(walk.at) == 0:
        walk.at += 8
    if by_nibble(walk) != P_IP6:
        return END
    push(walk.fields, P_TEREDO)
    return P_IP6


cdef Protocol layer2(Walk* walk) noexcept nogil:
    """L2TP over UDP: flags say which fields follow; version 2 carries PPP."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t flags
    if remaining(walk) < 2 or at[1] & 0xF not in (2, 3):
        return END
    flags = be16(at)
    push(walk.fields, P_L2TP)
    walk.at += 2
    if flags & 0xF == 3:
        return pseudowire(walk) if not flags & 0x8000 and step(walk, 2) else END
    if flags & 0x4000 and not step(walk, 2):
        return END
    claim(walk.fields, L2TP, walk.at, walk.end)
    if not step(walk, 4) or flags & 0x8000:         # control messages carry nothing
        return END
    if flags & 0x0800 and not step(walk, 4):
        return END
    if flags & 0x0200 and not (remaining(walk) >= 2 and step(walk, 2 + be16(walk.at))):
        return END
    return P_PPP


cdef Protocol pseudowire(Walk* walk) noexcept nogil:
    """L2TPv3: the session, then perhaps a cookie and a sublayer, 4 to 12 bytes, which only the endpoints know.

    An Ethernet frame behind them is recognised when its type and the first bytes of what it carries fit together.
    """
    cdef const uint8_t* at = walk.at
    cdef int _
    claim(walk.fields, L2TP3, at, walk.end)
    if remaining(walk) < 4 or be32(at) == 0:        # session 0: a control message
        return END
    walk.at += 4
    for _ in range(4):
        if looks_like_ethernet(walk):
            return P_ETH
        if not step(walk, 4):
            return END
    return END


cdef bint looks_like_ethernet(const Walk* walk) noexcept nogil:
    cdef uint32_t kind, first
    if remaining(walk) < 18:
        return 0
    kind, first = be16(walk.at + 12), be16(walk.at + 14)
    if kind == 0x0800:
        return first >> 8 == 0x45
    if kind == 0x86DD:
        return first >> 12 == 6
    if kind == 0x0806:
        return first == 1
    return kind in (0x8100, 0x88A8) and by_type(be16(walk.at + 16)) != END


cdef Protocol located(Walk* walk) noexcept nogil:
    """LISP: flags, nonce, and the instance if flagged; then IP."""
    cdef const uint8_t* at = walk.at
    if not step(walk, 8) or by_nibble(walk) == END:
        return END
    if at[0] & 0x08:
        claim(walk.fields, LISP, at + 4, at + 8)
    push(walk.fields, P_LISP)
    return by_nibble(walk)


cdef Protocol encapsulated(Walk* walk) noexcept nogil:
    """UDP 4500: ESP, or behind four zeros IKE, or one byte that keeps a translation alive."""
    return P_ESP if remaining(walk) >= 4 and be32(walk.at) != 0 else END


cdef Protocol access_point(Walk* walk) noexcept nogil:
    """CAPWAP data: a frame of 802.3 or, if flagged, of the radio's kind. DTLS, keep-alives, later fragments: none."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t word
    if at[0] > 1:                                   # version 0; type 0 or 1, DTLS
        return END
    claim(walk.fields, CAPWAP, at, walk.end)
    push(walk.fields, P_CAPWAP)
    if at[0] == 1 or remaining(walk) < 8:
        return END
    word = be32(at)
    if word & 0x08 or (word & 0x80 and be16(at + 6) >> 3):
        return END
    if (word >> 19 & 0x1F) < 2 or not step(walk, 4 * (word >> 19 & 0x1F)):
        return END
    if not word & 0x100:
        return P_ETH
    return P_WLAN if (word >> 9 & 0x1F) == 1 else END


cdef Protocol walk_tunnel(Protocol next_header, Walk* walk) noexcept nogil:
    """The headers of this file, and messages; any other is a name at which the walk ends."""
    if next_header == P_GRE:
        return generic(walk)
    elif next_header == P_VXLAN or next_header == P_GPE:
        return virtual_lan(walk, next_header == P_GPE)
    elif next_header == P_GENEVE:
        return geneve(walk)
    elif next_header == P_ERSPAN2 or next_header == P_ERSPAN3:
        return mirrored(walk, 8 if next_header == P_ERSPAN2 else 12)
    elif next_header == P_WCCP:
        return redirected(walk)
    elif next_header == P_ETHERIP:
        return ethernet_in_ip(walk)
    elif next_header == P_NSH:
        return service(walk)
    elif next_header == P_GTP:
        return mobile(walk)
    elif next_header == P_TEREDO:
        return teredo(walk)
    elif next_header == P_L2TP:
        return layer2(walk)
    elif next_header == P_L2TP3:
        push(walk.fields, P_L2TP)
        return pseudowire(walk)
    elif next_header == P_LISP:
        return located(walk)
    elif next_header == P_CAPWAP:
        return access_point(walk)
    elif next_header == P_UDPENCAP:
        return encapsulated(walk)
    elif next_header == P_DNS or next_header == P_IBBT:
        return walk_message(next_header, walk)
    push(walk.fields, next_header)
    return END
