"""Lay out the keys of flow records in Fields.notes, as analytics/recordkeys.py plans.

At fixed places, so that rows like those of packet.ROWS can read them: addresses of two lengths as type and 16 bytes,
texts and lists padded with zeros. Which fields a record has is told by `rows.locate`, by the same table that `howdah
decode` prints from; a record that is too short for a field lacks that field, and those behind.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.dissect import recordkeys
from analytics.core.dissect.packet cimport Fields, mark
from analytics.core.wire.rows cimport FLOW_TABLE, MOST_FIELDS, Row, find, locate
from analytics.core.wire.sflow cimport FlowSample
from analytics.core.dissect.summary cimport summarise
from analytics.core.wire.xdr cimport Window, be32, be64, left, swap32, take32

cdef enum:
    MOST_LISTED = 16                                # labels, AS numbers and communities that a key shows
    MOST_PLACES = 32                                # keys of one record
    MOST_RECORDS = 96
    HIGHEST = 0xFFFFFFFF
    TAGS = 4096                                     # formats of enterprise 0; others are searched for
    IPV4_TUNNEL = 32                                # bytes of sampled_ipv4

cdef enum Way:                                      # how a field is laid out
    ONE                                             # the constant 1
    NUMBER
    LONG                                            # 64 bits, clipped to 32
    BYTES
    ADDRESS
    TEXT
    LABELS
    VLANS
    PATH
    LAST_AS
    FIRST_AS
    COMMUNITIES

cdef struct Place:
    Way way
    int field                                       # position in the record, -1: none is needed
    int slot
    uint16_t note, offset, wire                     # the slot's bytes begin at note, the key's at note + offset

cdef struct Plan:
    const Row* row
    int count
    Place places[MOST_PLACES]

WAYS = {"one": ONE, "u32": NUMBER, "i32": NUMBER, "word": NUMBER, "u64": LONG, "mac": BYTES, "ip4": BYTES,
        "ip6": BYTES, "address": ADDRESS, "text": TEXT, "url": TEXT, "labels": LABELS, "vlans": VLANS,
        "aspath": PATH, "last_as": LAST_AS, "first_as": FIRST_AS, "communities": COMMUNITIES}

cdef Plan PLANS[MOST_RECORDS]
cdef uint8_t PLAN_OF[TAGS]                          # 1 + place in PLANS, by format of enterprise 0
cdef int PLANNED = 0


cdef void compile_plans() except *:
    global PLANNED
    cdef Plan* plan
    if len(recordkeys.PLACES) > MOST_RECORDS:
        raise ValueError(f"more than {MOST_RECORDS} records make keys")
    memset(PLAN_OF, 0, sizeof(PLAN_OF))
    for tag, places in recordkeys.PLACES.items():
        plan = &PLANS[PLANNED]
        if len(places) > MOST_PLACES:
            raise ValueError(f"record {tag}: more than {MOST_PLACES} keys")
        plan.row, plan.count = find(&FLOW_TABLE, tag[0] << 12 | tag[1]), len(places)
        for i, place in enumerate(places):
            plan.places[i] = Place(WAYS[place.way], place.field, place.slot, place.note, place.offset, place.wire)
        PLANNED += 1
        if tag[0] == 0:
            PLAN_OF[<int>tag[1]] = <uint8_t>PLANNED


compile_plans()


cdef inline const Plan* plan_of(uint32_t tag) noexcept nogil:
    cdef int i
    if tag < TAGS:
        return &PLANS[PLAN_OF[tag] - 1] if PLAN_OF[tag] else NULL
    for i in range(PLANNED):
        if PLANS[i].row.tag == tag:
            return &PLANS[i]
    return NULL


cdef inline void lay_number(uint8_t* note, uint32_t value) noexcept nogil:
    value = swap32(value)
    memcpy(note, &value, 4)


cdef bint lay_text(uint8_t* note, uint32_t room, Window text) noexcept nogil:
    """As much of a text as there is room for, in whole UTF-8 characters, zeros behind; 0 when it is empty."""
    cdef size_t length = left(&text)
    while length and text.at[length - 1] == 0:
        length -= 1
    if length > room:
        length = room
        while length > room - 4 and text.at[length] & 0xC0 == 0x80:
            length -= 1                             # inside a character; at most 3 bytes belong to one
    memset(note, 0, room)
    memcpy(note, text.at, length)
    return length != 0


cdef bint lay_address(uint8_t* note, Window address) noexcept nogil:
    """Type and 16 bytes; 0 when it is of the unknown type."""
    memset(note, 0, 20)
    note[3] = 1 if left(&address) == 4 else 2
    memcpy(note + 4, address.at, left(&address))
    return left(&address) != 0


cdef bint lay_tags(uint8_t* note, Window entries, uint32_t shift, uint32_t mask) noexcept nogil:
    """Numbers of labels or VLANs, plus one: zeros end the list. 0 when there are none."""
    cdef uint32_t entry = 0, listed = 0
    memset(note, 0, 4 * MOST_LISTED)
    while listed < MOST_LISTED and take32(&entries, &entry):
        lay_number(note + 4 * listed, (entry >> shift & mask) + 1)
        listed += 1
    return listed != 0


cdef bint lay_path(uint8_t* note, Window path, Way way) noexcept nogil:
    """AS numbers out of segments (type, AS number<>), whose counts `locate` has checked; 0 when there are none.

    The first is the destination's peer, the last the destination. AS 0 is none, and would end the list.
    """
    cdef uint32_t segments = 0, kind = 0, count = 0, number = 0, listed = 0, last = 0
    if way == PATH:
        memset(note, 0, 4 * MOST_LISTED)
    take32(&path, &segments)
    while segments and take32(&path, &kind) and take32(&path, &count):
        while count and take32(&path, &number):
            count -= 1
            last = number
            if number == 0:
                continue
            if way == PATH and listed < MOST_LISTED:
                lay_number(note + 4 * listed, number)
            elif way == FIRST_AS and listed == 0:
                lay_number(note, number)
            listed += 1
        segments -= 1
    if way == LAST_AS:
        lay_number(note, last)
    return listed != 0


cdef bint lay_communities(uint8_t* note, Window entries) noexcept nogil:
    cdef uint32_t number = 0, listed = 0
    memset(note, 0, 4 * MOST_LISTED)
    while listed < MOST_LISTED and take32(&entries, &number):
        if number:
            lay_number(note + 4 * listed, number)
            listed += 1
    return listed != 0


cdef bint lay_out(uint8_t* note, const Place* place, Window field) noexcept nogil:
    """One key; 0 when the field is empty and makes none."""
    cdef uint64_t wide
    if place.way == NUMBER:
        memcpy(note, field.at, 4)
    elif place.way == BYTES:
        memcpy(note, field.at, place.wire)
    elif place.way == ONE:
        lay_number(note, 1)
    elif place.way == LONG:
        wide = be64(field.at)
        lay_number(note, <uint32_t>wide if wide <= HIGHEST else HIGHEST)
    elif place.way == ADDRESS:
        return lay_address(note, field)
    elif place.way == TEXT:
        return lay_text(note, place.wire, field)
    elif place.way == LABELS:
        return lay_tags(note, field, 12, 0xFFFFF)
    elif place.way == VLANS:
        return lay_tags(note, field, 0, 0xFFF)
    elif place.way == COMMUNITIES:
        return lay_communities(note, field)
    else:
        return lay_path(note, field, place.way)
    return 1


cdef void describe_record(Fields* fields, const Plan* plan, Window record) noexcept nogil:
    """Lay out the fields of one record that are keys. Keys that share a slot follow each other, so its end grows."""
    cdef Window found[MOST_FIELDS]
    cdef bint whole = 1
    cdef int i, count = locate(plan.row, record, found, &whole)
    cdef const Place* place
    cdef uint8_t* note
    for i in range(plan.count):
        place = &plan.places[i]
        if place.field >= count:
            return
        note = &fields.notes[place.note]
        if lay_out(note + place.offset, place, found[place.field] if place.field >= 0 else record):
            mark(fields, place.slot, note, note + place.offset + place.wire)


cdef inline void swap_port(uint8_t* word) noexcept nogil:
    cdef uint8_t kept = word[2]
    word[2] = word[3]
    word[3] = kept


cdef void describe_tunnel(Fields* fields, const Plan* plan, Window record) noexcept nogil:
    """sampled_ipv4 of a tunnel. Open vSwitch on a little-endian host swaps the bytes of its UDP ports (sflow-wire.md
    6): known by the three tunnel ports that only so make sense, and put right."""
    cdef uint8_t copy[IPV4_TUNNEL]
    cdef size_t room = min(left(&record), <size_t>IPV4_TUNNEL)
    if room >= 24 and be32(record.at + 4) == 17 and be32(record.at + 20) in (46354, 49431, 6177):
        memcpy(&copy[0], record.at, room)           # 4789 VXLAN, 6081 Geneve, 8472 VXLAN of old
        swap_port(&copy[20])
        swap_port(&copy[16])
        record = Window(&copy[0], &copy[0] + room)
    describe_record(fields, plan, record)


cdef void describe_kept(Fields* fields, const FlowSample* sample) noexcept nogil:
    """Note what a sample's records say; those that make no keys are passed over."""
    cdef uint32_t i, tag
    cdef const Plan* plan
    for i in range(sample.kept):
        tag = sample.records[i].tag
        plan = plan_of(tag)
        if plan == NULL:
            continue
        if tag in (1023, 1024):
            describe_tunnel(fields, plan, sample.records[i].body)
        else:
            describe_record(fields, plan, sample.records[i].body)
    if sample.header == NULL:
        summarise(fields, sample)
