"""The outer headers of a sampled packet: read once into `Outer`, printed under sflowtool's names (sflow-wire.md 8.6).

    Ethernet -> 802.1Q tags -> type, or 802.2 SNAP -> IPv4 | IPv6 and its extension headers -> TCP | UDP | ICMP

This is the flat view of one packet that sflowtool's users know. Tunnels and MPLS are for dissect/. Each
header is read only when all of it is there; a packet cut anywhere keeps what is in front of the cut.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from analytics.core.printing.buffer cimport (
    LOWER, Buffer, begin, begin_numbered, end, named, put_char, put_hex, put_ip4, put_ip6, put_octets, put_u64, say,
)
from analytics.core.wire.extensions cimport FRAGMENT, MOST_EXTENSIONS, extension_length, is_extension
from analytics.core.wire.xdr cimport Window, be16, be32, left

cdef enum:
    VLAN_TAG = 0x8100
    PROVIDER_TAG = 0x88A8
    TYPES_FROM = 0x600                              # below it the word is an 802.3 length


cdef inline bint is_tag(uint32_t kind) noexcept nogil:
    return kind == VLAN_TAG or kind == PROVIDER_TAG or kind in (0x9100, 0x9200, 0x9300)


cdef void read_ethernet(Outer* outer, Window frame) noexcept nogil:
    cdef const uint8_t* first = frame.at
    cdef uint32_t kind
    if left(&frame) < 14:
        return
    outer.dst_mac, outer.src_mac = frame.at, frame.at + 6
    kind = be16(frame.at + 12)
    frame.at += 14
    while is_tag(kind):
        if left(&frame) < 4:
            return
        if outer.tags < MOST_TAGS:
            outer.tci[outer.tags] = be16(frame.at)
            outer.tags += 1
        kind = be16(frame.at + 2)
        frame.at += 4
    if kind < TYPES_FROM:                           # 802.3: LLC, and the type in SNAP if its OUI is 0
        if left(&frame) < 8 or frame.at[0] != 0xAA or frame.at[1] != 0xAA or frame.at[2] != 3:
            return
        if frame.at[3] or frame.at[4] or frame.at[5]:
            outer.oui = frame.at + 3
            return
        kind = be16(frame.at + 6)
        frame.at += 8
    outer.typed, outer.ethernet_type = 1, kind
    outer.ip_offset = <uint32_t>(frame.at - first)
    if kind == 0x0800:
        read_ip4(outer, frame)
    elif kind == 0x86DD:
        read_ip6(outer, frame)


cdef void read_wifi(Outer* outer, Window frame) noexcept nogil:
    """802.11 data frames: which address is which follows from the to-DS and from-DS bits (IEEE 802.11, 9.3.2.1)."""
    cdef int ds_bits
    if left(&frame) < 24 or (frame.at[0] >> 2) & 3 != 2:
        return
    ds_bits = frame.at[1] & 3                       # 1 to, 2 from, 3 both
    if ds_bits == 3 and left(&frame) < 30:
        return
    outer.rx_mac, outer.tx_mac = frame.at + 4, frame.at + 10
    outer.dst_mac = frame.at + (16 if ds_bits & 1 else 4)
    outer.src_mac = frame.at + (24 if ds_bits == 3 else 16 if ds_bits == 2 else 10)


cdef void read_ip4(Outer* outer, Window packet) noexcept nogil:
    cdef const uint8_t* ip = packet.at
    cdef uint32_t length
    if left(&packet) < 20 or ip[0] >> 4 != 4:
        return
    outer.version, outer.ip = 4, ip
    outer.tos, outer.ttl, outer.protocol = ip[1], ip[8], ip[9]
    outer.fragment = be16(ip + 6) & 0x1FFF
    length = (ip[0] & 15) * 4
    if length < 20 or left(&packet) < length or outer.fragment:
        return
    packet.at += length
    read_transport(outer, packet)


cdef void read_ip6(Outer* outer, Window packet) noexcept nogil:
    cdef const uint8_t* ip = packet.at
    cdef uint32_t length
    if left(&packet) < 40 or ip[0] >> 4 != 6:
        return
    outer.version, outer.ip = 6, ip
    outer.tos, outer.ttl, outer.protocol = (be32(ip) >> 20) & 0xFF, ip[7], ip[6]
    packet.at += 40
    while is_extension(outer.protocol) and outer.extensions < MOST_EXTENSIONS:
        outer.extension[outer.extensions] = outer.protocol
        outer.extensions += 1
        if left(&packet) < 8:
            return
        length = extension_length(outer.protocol, packet.at)
        if outer.protocol == FRAGMENT:
            outer.fragment = be16(packet.at + 2) >> 3
        outer.protocol = packet.at[0]
        if left(&packet) < length or outer.fragment:
            return
        packet.at += length
    read_transport(outer, packet)


cdef inline void read_transport(Outer* outer, Window segment) noexcept nogil:
    if left(&segment) < 8:
        return
    outer.ports = segment.at
    if outer.protocol == 6:
        outer.transport, outer.flagged = TCP_PORTS, left(&segment) >= 14
    elif outer.protocol == 17:
        outer.transport = UDP_PORTS
    elif outer.protocol == 1:
        outer.transport = ICMP_CODES


cdef void read_outer(Outer* outer, uint32_t protocol, Window header) noexcept nogil:
    """Read the headers of a packet of this header protocol (sflow-wire.md 5)."""
    memset(outer, 0, sizeof(Outer))
    outer.decoded = protocol in (1, 11, 12, 15)
    if protocol == 1:
        read_ethernet(outer, header)
    elif protocol == 11:
        read_ip4(outer, header)
    elif protocol == 12:
        read_ip6(outer, header)
    elif protocol == 15:
        read_wifi(outer, header)


cdef void show_mac(Buffer* out, const char* name, const uint8_t* mac) noexcept nogil:
    if mac != NULL:
        begin(out, name)
        put_hex(out, mac, 6)
        end(out)


cdef void show_link(Buffer* out, const Outer* outer) noexcept nogil:
    cdef int i
    if outer.rx_mac != NULL:                        # sflowtool's order differs for 802.11
        show_mac(out, b"srcMAC", outer.src_mac)
        show_mac(out, b"dstMAC", outer.dst_mac)
        show_mac(out, b"txMAC", outer.tx_mac)
        show_mac(out, b"rxMAC", outer.rx_mac)
        return
    show_mac(out, b"dstMAC", outer.dst_mac)
    show_mac(out, b"srcMAC", outer.src_mac)
    for i in range(outer.tags):
        begin_numbered(out, b"decodedVLAN", i)
        put_u64(out, outer.tci[i] & 0xFFF)
        end(out)
        begin_numbered(out, b"decodedPriority", i)
        put_u64(out, outer.tci[i] >> 13)
        end(out)
    if outer.oui != NULL:
        begin(out, b"VSNAP_OUI")
        put_octets(out, outer.oui, 3)
        end(out)
    if outer.typed:
        named(out, b"ethernet_type", outer.ethernet_type)


cdef void show_ip4(Buffer* out, const Outer* outer) noexcept nogil:
    named(out, b"ip.tot_len", be16(outer.ip + 2))
    begin(out, b"srcIP")
    put_ip4(out, outer.ip + 12)
    end(out)
    begin(out, b"dstIP")
    put_ip4(out, outer.ip + 16)
    end(out)
    named(out, b"IPProtocol", outer.protocol)
    named(out, b"IPTOS", outer.tos)
    named(out, b"IPTTL", outer.ttl)
    named(out, b"IPID", be16(outer.ip + 4))
    if outer.fragment:
        named(out, b"IPFragmentOffset", outer.fragment)


cdef void show_ip6(Buffer* out, const Outer* outer) noexcept nogil:
    cdef uint32_t label = be32(outer.ip) & 0xFFFFF
    cdef int shift = 16, i
    named(out, b"IPTOS", outer.tos)
    begin(out, b"IP6_label")
    say(out, b"0x")
    while shift > 0 and label >> shift == 0:
        shift -= 4
    while shift >= 0:
        put_char(out, LOWER[(label >> shift) & 15])
        shift -= 4
    end(out)
    begin(out, b"IPV6_payloadLen")
    if be16(outer.ip + 4):
        put_u64(out, be16(outer.ip + 4))
    else:
        say(out, b"<jumbo>")
    end(out)
    named(out, b"IPTTL", outer.ttl)
    begin(out, b"srcIP6")
    put_ip6(out, outer.ip + 8)
    end(out)
    begin(out, b"dstIP6")
    put_ip6(out, outer.ip + 24)
    end(out)
    for i in range(outer.extensions):
        begin_numbered(out, b"IP6HeaderExtension", i)
        put_u64(out, outer.extension[i])
        end(out)
    named(out, b"IPProtocol", outer.protocol)
    if outer.fragment:
        named(out, b"IPFragmentOffset", outer.fragment)


cdef void show_transport(Buffer* out, const Outer* outer) noexcept nogil:
    if outer.transport == TCP_PORTS:
        named(out, b"TCPSrcPort", be16(outer.ports))
        named(out, b"TCPDstPort", be16(outer.ports + 2))
        if outer.flagged:
            named(out, b"TCPFlags", outer.ports[13])
    elif outer.transport == UDP_PORTS:
        named(out, b"UDPSrcPort", be16(outer.ports))
        named(out, b"UDPDstPort", be16(outer.ports + 2))
        named(out, b"UDPBytes", be16(outer.ports + 4))
    elif outer.transport == ICMP_CODES:
        named(out, b"ICMPType", outer.ports[0])
        named(out, b"ICMPCode", outer.ports[1])


cdef void show_outer(Buffer* out, const Outer* outer, uint32_t protocol, uint32_t size) noexcept nogil:
    """Print the headers; `size` is the packet's whole length without what was stripped."""
    if not outer.decoded:
        if not out.json:
            say(out, b"NO_DECODE headerProtocol=" if 1 <= protocol <= 17 else b"UNKNOWN headerProtocol=")
            put_u64(out, protocol)
            put_char(out, b"\n")
        return
    show_link(out, outer)
    if outer.version:
        named(out, b"IPSize", size - outer.ip_offset if size > outer.ip_offset else 0)
    if outer.version == 4:
        show_ip4(out, outer)
    elif outer.version == 6:
        show_ip6(out, outer)
    show_transport(out, outer)
