"""Write the keys of flow records to Fields.notes, as recordkeys.py plans.

At fixed offsets, so that rows like those of packet.ROWS can read them: addresses of two lengths as type and 16 bytes,
texts and lists padded with zeros. Which fields a record has is found by `rows.locate`, by the same table that `howdah
decode` prints from; a record that is too short for a field lacks that field, and those behind.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.dissect import recordkeys
from analytics.core.dissect.packet cimport LIST_BYTES, Fields, set_slot
from analytics.core.wire.rows cimport FLOW_TABLE, MOST_FIELDS, Row, find, locate
from analytics.core.wire.sflow cimport FlowSample
from analytics.core.dissect.summary cimport summarise
from analytics.core.staticassert cimport static_assert
from analytics.core.wire.xdr cimport Window, be32, be64, left, swap32, take32

cdef enum:
    MOST_LISTED = LIST_BYTES / 4                                # labels, AS numbers and communities that a key shows
    MOST_KEYS = 32                                  # keys of one record
    MOST_RECORDS = 96
    HIGHEST = 0xFFFFFFFF
    TAGS = 4096                                     # formats of enterprise 0; others are searched for
    IPV4_TUNNEL = 32                                # bytes of sampled_ipv4

cdef enum Layout:                                   # how a field is written
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

cdef struct RecordKey:
    Layout layout
    int field                                       # position in the record, -1: none is needed
    int slot
    uint16_t note, offset, wire                     # the slot's bytes begin at note, the key's at note + offset

cdef struct RecordPlan:
    const Row* row
    int count
    RecordKey keys[MOST_KEYS]

static_assert(MOST_RECORDS <= 255)                  # PLAN_OF

cdef dict LAYOUTS = {
    "one": ONE, "u32": NUMBER, "i32": NUMBER, "word": NUMBER, "u64": LONG, "mac": BYTES, "ip4": BYTES, "ip6": BYTES,
    "address": ADDRESS, "text": TEXT, "url": TEXT, "labels": LABELS, "vlans": VLANS, "aspath": PATH,
    "last_as": LAST_AS, "first_as": FIRST_AS, "communities": COMMUNITIES,
}

cdef RecordPlan PLANS[MOST_RECORDS]
cdef uint8_t PLAN_OF[TAGS]                          # 1 + index in PLANS, by format of enterprise 0
cdef int PLANNED = 0


cdef void compile_plans() except *:
    global PLANNED
    cdef RecordPlan* plan
    if len(recordkeys.RECORD_KEYS) > MOST_RECORDS:
        raise ValueError(f"more than {MOST_RECORDS} records make keys")
    memset(PLAN_OF, 0, sizeof(PLAN_OF))
    for tag, keys in recordkeys.RECORD_KEYS.items():
        plan = &PLANS[PLANNED]
        if len(keys) > MOST_KEYS:
            raise ValueError(f"record {tag}: more than {MOST_KEYS} keys")
        plan.row, plan.count = find(&FLOW_TABLE, tag[0] << 12 | tag[1]), len(keys)
        for i, key in enumerate(keys):
            plan.keys[i] = RecordKey(LAYOUTS[key.layout], key.field, key.slot, key.note, key.offset, key.wire)
        PLANNED += 1
        if tag[0] == 0:
            PLAN_OF[<int>tag[1]] = <uint8_t>PLANNED


compile_plans()


cdef inline const RecordPlan* plan_of(uint32_t tag) noexcept nogil:
    cdef int i
    if tag < TAGS:
        return &PLANS[PLAN_OF[tag] - 1] if PLAN_OF[tag] else NULL
    for i in range(PLANNED):
        if PLANS[i].row.tag == tag:
            return &PLANS[i]
    return NULL


cdef inline void write_number(uint8_t* note, uint32_t value) noexcept nogil:
    value = swap32(value)
    memcpy(note, &value, 4)


cdef bint write_text(uint8_t* note, uint32_t size, Window text) noexcept nogil:
    """As much of a text as fits, in whole UTF-8 characters, zeros behind; 0 when it is empty."""
    cdef size_t length = left(&text)
    while length and text.at[length - 1] == 0:
        length -= 1
    if length > size:
        length = size
        while length > size - 4 and text.at[length] & 0xC0 == 0x80:
            length -= 1                             # inside a character; at most 3 bytes belong to one
    memset(note, 0, size)
    memcpy(note, text.at, length)
    return length != 0


cdef bint write_address(uint8_t* note, Window address) noexcept nogil:
    """Type and 16 bytes; 0 when it is of the unknown type."""
    memset(note, 0, 20)
    note[3] = 1 if left(&address) == 4 else 2
    memcpy(note + 4, address.at, left(&address))
    return left(&address) != 0


cdef bint write_tags(uint8_t* note, Window entries, uint32_t shift, uint32_t mask) noexcept nogil:
    """Numbers of labels or VLANs, plus one: zeros end the list. 0 when there are none."""
    cdef uint32_t entry = 0, listed = 0
    memset(note, 0, 4 * MOST_LISTED)
    while listed < MOST_LISTED and take32(&entries, &entry):
        write_number(note + 4 * listed, (entry >> shift & mask) + 1)
        listed += 1
    return listed != 0


cdef bint write_path(uint8_t* note, Window path, Layout layout) noexcept nogil:
    """AS numbers out of segments (type, AS number<>), whose counts `locate` has checked; 0 when there are none.

    The first is the destination's peer, the last the destination. AS 0 is none, and would end the list.
    """
    cdef uint32_t segments = 0, kind = 0, count = 0, number = 0, listed = 0, last = 0
    if layout == PATH:
        memset(note, 0, 4 * MOST_LISTED)
    take32(&path, &segments)
    while segments and take32(&path, &kind) and take32(&path, &count):
        while count and take32(&path, &number):
            count -= 1
            last = number
            if number == 0:
                continue
            if layout == PATH and listed < MOST_LISTED:
                write_number(note + 4 * listed, number)
            elif layout == FIRST_AS and listed == 0:
                write_number(note, number)
            listed += 1
        segments -= 1
    if layout == LAST_AS:
        write_number(note, last)
    return listed != 0


cdef bint write_communities(uint8_t* note, Window entries) noexcept nogil:
    cdef uint32_t number = 0, listed = 0
    memset(note, 0, 4 * MOST_LISTED)
    while listed < MOST_LISTED and take32(&entries, &number):
        if number:
            write_number(note + 4 * listed, number)
            listed += 1
    return listed != 0


cdef bint write_key(uint8_t* note, const RecordKey* key, Window field) noexcept nogil:
    """One key; 0 when the field is empty and makes none."""
    cdef uint64_t wide
    if key.layout == NUMBER:
        memcpy(note, field.at, 4)
    elif key.layout == BYTES:
        memcpy(note, field.at, key.wire)
    elif key.layout == ONE:
        write_number(note, 1)
    elif key.layout == LONG:
        wide = be64(field.at)
        write_number(note, <uint32_t>wide if wide <= HIGHEST else HIGHEST)
    elif key.layout == ADDRESS:
        return write_address(note, field)
    elif key.layout == TEXT:
        return write_text(note, key.wire, field)
    elif key.layout == LABELS:
        return write_tags(note, field, 12, 0xFFFFF)
    elif key.layout == VLANS:
        return write_tags(note, field, 0, 0xFFF)
    elif key.layout == COMMUNITIES:
        return write_communities(note, field)
    else:
        return write_path(note, field, key.layout)
    return 1


cdef void describe_record(Fields* fields, const RecordPlan* plan, Window record) noexcept nogil:
    """Write the fields of one record that are keys. Keys that share a slot follow each other, so its end grows."""
    cdef Window found[MOST_FIELDS]
    cdef bint whole = 1
    cdef int i, count = locate(plan.row, record, found, &whole)
    cdef const RecordKey* key
    cdef uint8_t* note
    for i in range(plan.count):
        key = &plan.keys[i]
        if key.field >= count:
            return
        note = &fields.notes[key.note]
        if write_key(note + key.offset, key, found[key.field] if key.field >= 0 else record):
            set_slot(fields, key.slot, note, note + key.offset + key.wire)


cdef inline void swap_port(uint8_t* word) noexcept nogil:
    cdef uint8_t kept = word[2]
    word[2] = word[3]
    word[3] = kept


cdef void describe_tunnel(Fields* fields, const RecordPlan* plan, Window record) noexcept nogil:
    """sampled_ipv4 of a tunnel. Open vSwitch on a little-endian host swaps the bytes of its UDP ports (sflow-wire.md
    6): known by the three tunnel ports that only so make sense, and put right."""
    cdef uint8_t copy[IPV4_TUNNEL]
    cdef size_t size = min(left(&record), <size_t>IPV4_TUNNEL)
    if size >= 24 and be32(record.at + 4) == 17 and be32(record.at + 20) in (46354, 49431, 6177):
        memcpy(&copy[0], record.at, size)           # 4789 VXLAN, 6081 Geneve, 8472 VXLAN of old
        swap_port(&copy[20])
        swap_port(&copy[16])
        record = Window(&copy[0], &copy[0] + size)
    describe_record(fields, plan, record)


cdef void describe_kept(Fields* fields, const FlowSample* sample) noexcept nogil:
    """Note what a sample's records say; those that make no keys are passed over."""
    cdef uint32_t i, tag
    cdef const RecordPlan* plan
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
