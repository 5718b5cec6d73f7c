"""The tables of wire/structures.py, compiled: find a structure by its tag, locate its fields in its bytes."""

from libc.stdint cimport uint32_t

from analytics.core.wire.xdr cimport Window

cdef enum:
    MOST_FIELDS = 48                                # of one structure; the longest, 4413:3, has 36
    ANY_PROTOCOL = 0xFFFFFFFF

cdef enum FieldKind:
    U32, I32, U64, F32, F64, U8, MAC, IP4, IP6, UUID, ADDR, STR, OPAQUE, REST, PERCENT, DPID, WORD
    SOURCE, SOURCE2, PORT, PORT2, U32S, PERCENTS, LABELS, VLANS, AS_PATH, FIRST_AS, LAST_AS, LANES, ADAPTERS
    HEADER, PAYLOAD, FLOW_RECORDS, COUNTER_RECORDS, PDUS, RTMETRICS, RTFLOWS
    FIELD_KINDS

cdef struct FieldRow:
    FieldKind kind
    bint optional

cdef struct WordRow:
    uint32_t number
    const char* word

cdef struct ShownRow:
    const char* name
    size_t length
    FieldKind kind
    int field                                       # position on the wire
    bint hidden_if_empty
    uint32_t protocol                               # only for records of this IP protocol
    const WordRow* words                            # of a WORD, ended by a NULL word
    const char* unknown                             # for other numbers; "{}" stands for the number

cdef struct Row:
    uint32_t tag
    const char* label_key                           # NULL without a label
    const char* label
    int fields, shown
    uint32_t size                                   # bytes of all fields, 0 if it varies
    FieldRow field[MOST_FIELDS]
    ShownRow show[MOST_FIELDS]

cdef struct StructureTable:
    Row* rows                                       # sorted by tag
    int count

cdef StructureTable SAMPLE_TABLE, FLOW_TABLE, COUNTER_TABLE

cdef const Row* find(const StructureTable* table, uint32_t tag) noexcept nogil
cdef int locate(const Row* row, Window body, Window* found, bint* whole) noexcept nogil
cdef bint take_field(FieldKind kind, Window* body, Window* part, bint* whole) noexcept nogil
cdef bint next_structure(Window* rest, uint32_t* tag, Window* body, bint* whole) noexcept nogil
