"""Datagrams as sflowtool's -l lines (sflow-wire.md 8.8), and their sampled headers as a capture file.

    FLOW,agent,input,output,src MAC,dst MAC,type,in VLAN,out VLAN,src IP,dst IP,protocol,TOS,TTL,port,port,flags,
         frame length,IP size,sampling rate
    CNTR,agent,the 19 fields of if_counters

The capture is pcapng (draft-ietf-opsawg-pcapng): a section header, one interface block per header protocol, one
enhanced packet block per sampled_header record, those of discards included. The original length is frame_length.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from analytics.core.printing.buffer cimport LOWER, Buffer, put, put_char, put_hex, put_ip4, put_ip6, put_u64, say
from analytics.core.printing.outer cimport ICMP_CODES, NO_PORTS, TCP_PORTS, Outer, read_outer
from analytics.core.wire.rows cimport (
    COUNTER_TABLE, FLOW_RECORDS, FLOW_TABLE, MOST_FIELDS, SAMPLE_TABLE, U64, Row, find, locate, next_structure,
)
from analytics.core.wire.sflow cimport Datagram
from analytics.core.wire.xdr cimport Window, be16, be32, be64, left, take32

cdef enum:
    SAMPLED_HEADER = 1
    SAMPLED_ETHERNET = 2
    SAMPLED_IPV4 = 3
    SAMPLED_IPV6 = 4
    EXTENDED_SWITCH = 1001


cdef struct Line:                                   # what one FLOW line says
    Outer outer
    uint32_t frame_length, ip_size, in_vlan, out_vlan
    bint headed                                     # a sampled_header record is there
    const uint8_t* ethernet                         # a sampled_ethernet record: length, MACs, type; NULL without
    const uint8_t* flat                             # a sampled_ipv4 or sampled_ipv6 record, NULL without
    uint32_t address_size                           # 4 or 16 bytes of address in it


cdef void read_flow_record(Line* line, uint32_t tag, const Window* found) noexcept nogil:
    cdef uint32_t size
    if tag == SAMPLED_HEADER:
        line.headed = 1
        line.frame_length = be32(found[1].at)
        size = line.frame_length - be32(found[2].at) if line.frame_length > be32(found[2].at) else 0
        read_outer(&line.outer, be32(found[0].at), found[3])
        line.ip_size = size - line.outer.ip_offset if line.outer.version and size > line.outer.ip_offset else 0
        if line.outer.tags:
            line.in_vlan = line.outer.tci[line.outer.tags - 1] & 0xFFF
    elif tag == SAMPLED_ETHERNET:
        line.ethernet = found[0].at
    elif tag == SAMPLED_IPV4 or tag == SAMPLED_IPV6:
        line.flat, line.address_size = found[0].at, 4 if tag == SAMPLED_IPV4 else 16
        line.frame_length = line.ip_size = be32(found[0].at)
    elif tag == EXTENDED_SWITCH:
        line.in_vlan, line.out_vlan = be32(found[0].at), be32(found[2].at)


cdef void read_flow_records(Line* line, Window rest) noexcept nogil:
    cdef Window found[MOST_FIELDS]
    cdef Window body
    cdef uint32_t count = 0, tag = 0
    cdef bint whole = 1
    cdef const Row* row
    memset(line, 0, sizeof(Line))
    take32(&rest, &count)
    while count and next_structure(&rest, &tag, &body, &whole):
        count -= 1
        if tag in (SAMPLED_HEADER, SAMPLED_ETHERNET, SAMPLED_IPV4, SAMPLED_IPV6, EXTENDED_SWITCH):
            row = find(&FLOW_TABLE, tag)
            if row != NULL and locate(row, body, found, &whole) == row.fields:
                read_flow_record(line, tag, found)
    if line.ethernet != NULL and not line.headed:
        line.frame_length = be32(line.ethernet)
        line.outer.src_mac, line.outer.dst_mac = line.ethernet + 4, line.ethernet + 12
        line.outer.ethernet_type = be32(line.ethernet + 20)


cdef inline void comma_u64(Buffer* out, uint64_t value) noexcept nogil:
    put_char(out, b",")
    put_u64(out, value)


cdef void comma_hex(Buffer* out, uint32_t value, int digits) noexcept nogil:
    say(out, b",0x")
    while digits:
        digits -= 1
        put_char(out, LOWER[(value >> (4 * digits)) & 15])


cdef void comma_mac(Buffer* out, const uint8_t* mac) noexcept nogil:
    put_char(out, b",")
    if mac == NULL:
        put_char(out, b"-")
    else:
        put_hex(out, mac, 6)


cdef void comma_address(Buffer* out, const uint8_t* address, uint32_t size) noexcept nogil:
    put_char(out, b",")
    if size == 4:
        put_ip4(out, address)
    elif size == 16:
        put_ip6(out, address)
    else:
        put_char(out, b"-")


cdef void put_agent(Buffer* out, const Datagram* datagram) noexcept nogil:
    cdef uint64_t kind = datagram.agent[0]
    comma_address(out, <const uint8_t*>&datagram.agent[1], 0 if kind == 0 else 4 if kind == 1 else 16)


cdef void put_flat(Buffer* out, const Line* line) noexcept nogil:
    """Addresses to flags out of a sampled_ipv4 or sampled_ipv6 record; it knows no TTL."""
    cdef const uint8_t* ports = line.flat + 8 + 2 * line.address_size
    comma_address(out, line.flat + 8, line.address_size)
    comma_address(out, line.flat + 8 + line.address_size, line.address_size)
    comma_u64(out, be32(line.flat + 4))
    comma_hex(out, be32(ports + 12), 2)
    comma_u64(out, 0)
    comma_u64(out, be32(ports))
    comma_u64(out, be32(ports + 4))
    comma_hex(out, be32(ports + 8), 2)


cdef void put_headers(Buffer* out, const Outer* outer) noexcept nogil:
    """Addresses to flags out of the decoded headers."""
    cdef uint32_t size = 4 if outer.version == 4 else 16 if outer.version == 6 else 0
    cdef const uint8_t* addresses = outer.ip + (12 if size == 4 else 8) if size else NULL
    cdef bint narrow = outer.transport == ICMP_CODES
    comma_address(out, addresses, size)
    comma_address(out, addresses + size if size else NULL, size)
    comma_u64(out, outer.protocol)
    comma_hex(out, outer.tos, 2)
    comma_u64(out, outer.ttl)
    if outer.transport == NO_PORTS:
        say(out, b",0,0")
    else:
        comma_u64(out, outer.ports[0] if narrow else be16(outer.ports))
        comma_u64(out, outer.ports[1] if narrow else be16(outer.ports + 2))
    comma_hex(out, outer.ports[13] if outer.transport == TCP_PORTS and outer.flagged else 0, 2)


cdef void put_flow_line(Buffer* out, const Datagram* datagram, uint32_t tag, const Window* found) noexcept nogil:
    """One line of a flow sample; found has rate, input, output and records at 2, 5, 6, 7 in both of its forms."""
    cdef Line line
    read_flow_records(&line, found[7])
    say(out, b"FLOW")
    put_agent(out, datagram)
    comma_u64(out, be32(found[5].at) & 0x3FFFFFFF if tag == 1 else be32(found[5].at + 4))
    comma_u64(out, be32(found[6].at) & 0x3FFFFFFF if tag == 1 else be32(found[6].at + 4))
    comma_mac(out, line.outer.src_mac)
    comma_mac(out, line.outer.dst_mac)
    comma_hex(out, line.outer.ethernet_type, 4)
    comma_u64(out, line.in_vlan)
    comma_u64(out, line.out_vlan)
    if line.flat != NULL and line.outer.version == 0:
        put_flat(out, &line)
    else:
        put_headers(out, &line.outer)
    comma_u64(out, line.frame_length)
    comma_u64(out, line.ip_size)
    comma_u64(out, be32(found[2].at))
    put_char(out, b"\n")


cdef void put_counter_line(Buffer* out, const Datagram* datagram, Window rest) noexcept nogil:
    """One line of a counter sample: its first if_counters record, or zeros."""
    cdef Window found[MOST_FIELDS]
    cdef Window body
    cdef uint32_t count = 0, tag = 0
    cdef bint whole = 1
    cdef const Row* row = find(&COUNTER_TABLE, 1)
    cdef int fields = 0, i
    take32(&rest, &count)
    while count and fields == 0 and next_structure(&rest, &tag, &body, &whole):
        count -= 1
        if tag == 1:
            fields = locate(row, body, found, &whole)
    say(out, b"CNTR")
    put_agent(out, datagram)
    for i in range(row.fields):
        comma_u64(out, 0 if i >= fields else be64(found[i].at) if row.field[i].kind == U64 else be32(found[i].at))
    put_char(out, b"\n")


cdef void show_lines(Buffer* out, Datagram* datagram) noexcept nogil:
    """A line per flow and counter sample; discards, rtmetric and rtflow have none."""
    cdef Window found[MOST_FIELDS]
    cdef Window body
    cdef uint32_t tag = 0
    cdef bint whole = 1
    cdef const Row* row
    while datagram.samples and next_structure(&datagram.rest, &tag, &body, &whole):
        datagram.samples -= 1
        row = find(&SAMPLE_TABLE, tag)
        if tag > 4 or row == NULL or locate(row, body, found, &whole) < row.fields:
            out.faults += tag <= 4
        elif tag == 1 or tag == 3:
            put_flow_line(out, datagram, tag, found)
        else:
            put_counter_line(out, datagram, found[2])


# The capture file

cdef struct InterfaceBlock:
    uint32_t kind, length
    uint16_t link, reserved
    uint32_t snap, again

cdef struct SectionBlock:
    uint32_t kind, length, order
    uint16_t major, minor
    uint64_t section
    uint32_t again

cdef struct PacketBlock:
    uint32_t kind, length, interface, high, low, captured, original


cdef uint32_t link_type(uint32_t protocol) noexcept nogil:
    """LINKTYPE_ of a header protocol (www.tcpdump.org/linktypes.html); 147, private, for those without."""
    if protocol == 1:
        return 1
    if protocol == 11 or protocol == 12:
        return 217 + protocol                       # 228 IPv4, 229 IPv6
    if protocol == 13:
        return 219                                  # MPLS
    if protocol == 15:
        return 105                                  # 802.11
    if protocol == 7:
        return 9                                    # PPP
    if protocol == 14:
        return 50                                   # PPP in HDLC-like framing
    if protocol == 3:
        return 6                                    # token ring
    if protocol == 4:
        return 10                                   # FDDI
    if protocol == 5:
        return 107                                  # frame relay
    return 247 if protocol == 18 else 147           # InfiniBand


cdef void begin_capture(Buffer* out) noexcept nogil:
    """The section header: what a capture without packets consists of."""
    cdef SectionBlock section = SectionBlock(0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, 0xFFFFFFFFFFFFFFFF, 28)
    put(out, <const char*>&section, 28)             # sizeof would count the padding behind it


cdef int interface_of(Buffer* out, Packets* packets, uint32_t protocol) noexcept nogil:
    """The number of the interface block for a header protocol, written when it is new; -1 when there are too many."""
    cdef InterfaceBlock interface
    cdef int i
    for i in range(packets.interfaces):
        if packets.protocol[i] == protocol:
            return i
    if packets.interfaces == MOST_INTERFACES:
        return -1
    interface = InterfaceBlock(1, 20, <uint16_t>link_type(protocol), 0, 0, 20)
    put(out, <const char*>&interface, 20)
    packets.protocol[packets.interfaces] = protocol
    packets.interfaces += 1
    return packets.interfaces - 1


cdef void write_packet(Buffer* out, Packets* packets, const Window* found, double now) noexcept nogil:
    cdef size_t length = left(&found[3]), padding = (0 - length) & 3
    cdef uint64_t moment = <uint64_t>(now * 1e6 + 0.5)
    cdef int interface = interface_of(out, packets, be32(found[0].at))
    cdef uint32_t total = <uint32_t>(32 + length + padding), original = be32(found[1].at)
    cdef PacketBlock block
    if interface < 0:
        out.faults += 1
        return
    if original < length:
        original = <uint32_t>length
    block = PacketBlock(6, total, interface, <uint32_t>(moment >> 32), <uint32_t>moment, <uint32_t>length, original)
    put(out, <const char*>&block, 28)
    put(out, <const char*>found[3].at, length)
    put(out, b"\0\0\0", padding)
    put(out, <const char*>&total, 4)


cdef void write_packets(Buffer* out, Packets* packets, Datagram* datagram, double now) noexcept nogil:
    """The sampled headers of a datagram as packet blocks; an interface block before the first of its protocol."""
    cdef Window found[MOST_FIELDS]
    cdef Window sample, records, body
    cdef uint32_t tag = 0, count = 0
    cdef bint whole = 1
    cdef const Row* row
    while datagram.samples and next_structure(&datagram.rest, &tag, &sample, &whole):
        datagram.samples -= 1
        row = find(&SAMPLE_TABLE, tag)
        if row == NULL or row.field[row.fields - 1].kind != FLOW_RECORDS:
            continue
        if locate(row, sample, found, &whole) < row.fields:
            out.faults += 1
            continue
        records = found[row.fields - 1]
        count = 0
        take32(&records, &count)
        while count and next_structure(&records, &tag, &body, &whole):
            count -= 1
            row = find(&FLOW_TABLE, tag)
            if tag == SAMPLED_HEADER and locate(row, body, found, &whole) == row.fields:
                write_packet(out, packets, found, now)
