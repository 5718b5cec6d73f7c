"""Flow records beside the sampled header -> fields of the sample (sflow-wire.md section 3, sflow-rt-api.md 2.3).

sflow.pyx keeps the windows of the records that it knows; here each becomes one slot of Fields, so that the rows of
packet.ROWS can read it. Records of fixed shape are read where they lie. Those whose fields move (addresses of two
lengths, AS paths, communities) are laid out anew in Fields.notes; so are IPv4 tunnels, because Open vSwitch swaps
their UDP ports. A record that is too short for a field lacks that field, and only that.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.packet cimport (ASPATH, BACKLOG, COMMUNITIES, GATEWAY, IN4, IN6, INVNI, OUT4, OUT6, OUTVNI, QUEUE,
                                    REASON, ROUTER, TRANSIT, Fields, mark)
from analytics.core.sflow cimport (KEPT, K_BACKLOG, K_GATEWAY, K_IN4, K_IN6, K_INVNI, K_OUT4, K_OUT6, K_OUTVNI,
                                   K_QUEUE, K_ROUTER, K_TRANSIT, FlowSample)
from analytics.core.xdr cimport Window, be32, left, swap32, take32

cdef enum:                                          # places in Fields.notes
    ROUTER_NOTE = 0                                 # address 20, source mask 4, destination mask 4
    GATEWAY_NOTE = 28                               # address 20, AS 4, source AS 4, source peer AS 4, preference 4
    PATH_NOTE = 64                                  # destination AS 4, destination peer AS 4, 16 x AS 4
    COMMUNITY_NOTE = 136                            # 16 x community 4
    REASON_NOTE = 200
    IN4_NOTE = 204                                  # sampled_ipv4: 32
    OUT4_NOTE = 236
    MOST_LISTED = 16                                # AS numbers and communities that a key shows; what follows is cut
    IPV4_TUNNEL = 32                                # bytes of sampled_ipv4

cdef int SLOT_OF[11]                                # slot of Fields per Kept; 0 (ETH): laid out anew
SLOT_OF[:] = [0, 0, 0, IN6, INVNI, 0, OUT6, OUTVNI, QUEUE, BACKLOG, TRANSIT]


cdef bint take_address(Window* record, uint8_t* out) noexcept nogil:
    """sFlow's address (type, 0, 4 or 16 bytes) as type 4 and 16 bytes, zeros behind; 0 if it is cut or none."""
    cdef uint32_t kind = 0, room
    memset(out, 0, 20)
    if not take32(record, &kind) or kind > 2:
        return 0
    room = 0 if kind == 0 else 4 if kind == 1 else 16
    if left(record) < room:
        return 0
    memcpy(out + 4, record.at, room)
    out[3] = <uint8_t>kind
    record.at += room
    return 1


cdef inline uint32_t copy_words(Window* record, uint8_t* out, uint32_t count) noexcept nogil:
    """Copy as many of `count` words as there are; answers the bytes copied."""
    cdef uint32_t room = 4 * count
    if left(record) < room:
        room = <uint32_t>left(record) & ~<uint32_t>3
    memcpy(out, record.at, room)
    record.at += room
    return room


cdef void router(Fields* fields, Window record) noexcept nogil:
    cdef uint8_t* note = &fields.notes[ROUTER_NOTE]
    if take_address(&record, note):
        mark(fields, ROUTER, note, note + 20 + copy_words(&record, note + 20, 2))


cdef void gateway(Fields* fields, Window record) noexcept nogil:
    """extended_gateway: next hop, three AS numbers, the path in segments, communities, local preference."""
    cdef uint8_t* note = &fields.notes[GATEWAY_NOTE]
    cdef uint8_t* end
    cdef uint32_t number = 0
    if not take_address(&record, note):
        return
    end = note + 20 + copy_words(&record, note + 20, 3)
    if as_path(fields, &record) and communities(fields, &record) and take32(&record, &number):
        number = swap32(number)
        memcpy(note + 32, &number, 4)
        end = note + 36
    mark(fields, GATEWAY, note, end)


cdef bint as_path(Fields* fields, Window* record) noexcept nogil:
    """Segments (type, AS numbers<>): the last AS is the destination, the first its peer. 0: the path is cut.

    The loops are bounded by the bytes that are there, whatever the counts say.
    """
    cdef uint8_t* note = &fields.notes[PATH_NOTE]
    cdef uint32_t segments = 0, kind = 0, count = 0, number = 0, listed = 0, wire
    if not take32(record, &segments):
        return 0
    memset(note, 0, 72)
    while segments:
        if not take32(record, &kind) or not take32(record, &count):
            return 0
        while count:
            if not take32(record, &number):
                return 0
            wire = swap32(number)
            if number and listed < MOST_LISTED:     # AS 0 is none, and would end the list
                memcpy(note + 8 + 4 * listed, &wire, 4)
                listed += 1
            count -= 1
        segments -= 1
    if listed:
        wire = swap32(number)
        memcpy(note, &wire, 4)
        memcpy(note + 4, note + 8, 4)
        mark(fields, ASPATH, note, note + 72)
    return 1


cdef bint communities(Fields* fields, Window* record) noexcept nogil:
    cdef uint8_t* note = &fields.notes[COMMUNITY_NOTE]
    cdef uint32_t count = 0, number = 0, listed = 0, wire
    if not take32(record, &count):
        return 0
    memset(note, 0, 64)
    while count:
        if not take32(record, &number):
            return 0
        if number and listed < MOST_LISTED:
            wire = swap32(number)
            memcpy(note + 4 * listed, &wire, 4)
            listed += 1
        count -= 1
    if listed:
        mark(fields, COMMUNITIES, note, note + 64)
    return 1


cdef void tunnel(Fields* fields, int slot, uint8_t* note, Window record) noexcept nogil:
    """sampled_ipv4 of a tunnel. Open vSwitch on a little-endian host swaps the bytes of its UDP ports (sflow-wire.md
    6): known by the three tunnel ports that only so make sense, and put right."""
    cdef size_t room = left(&record)
    cdef uint32_t port
    if room > IPV4_TUNNEL:
        room = IPV4_TUNNEL
    memcpy(note, record.at, room)
    if room >= 24 and be32(note + 4) == 17:
        port = be32(note + 20)
        if port in (46354, 49431, 6177):            # 4789 VXLAN, 6081 Geneve, 8472 VXLAN of old
            swap_port(note + 20)
            swap_port(note + 16)
    mark(fields, slot, note, note + room)


cdef inline void swap_port(uint8_t* word) noexcept nogil:
    cdef uint8_t kept = word[2]
    word[2] = word[3]
    word[3] = kept


cdef void describe_records(Fields* fields, const FlowSample* sample) noexcept nogil:
    """Add what a sample's records say; after packet.describe, which forgets the last sample."""
    cdef uint32_t i, wire
    if sample.discard or sample.out_format == 1:
        wire = swap32(sample.reason if sample.discard else sample.out_value)
        memcpy(&fields.notes[REASON_NOTE], &wire, 4)
        mark(fields, REASON, &fields.notes[REASON_NOTE], &fields.notes[REASON_NOTE] + 4)
    if sample.kept == 0:
        return
    for i in range(KEPT):
        if not (sample.kept >> i) & 1:
            continue
        if SLOT_OF[i]:
            mark(fields, SLOT_OF[i], sample.records[i].at, sample.records[i].end)
        elif i == K_ROUTER:
            router(fields, sample.records[i])
        elif i == K_GATEWAY:
            gateway(fields, sample.records[i])
        elif i == K_IN4:
            tunnel(fields, IN4, &fields.notes[IN4_NOTE], sample.records[i])
        else:
            tunnel(fields, OUT4, &fields.notes[OUT4_NOTE], sample.records[i])
