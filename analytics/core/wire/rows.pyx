"""The table of analytics.core.wire.structures, compiled once at import.

`locate` walks a structure's bytes by its row and answers a window for each field; nothing is read outside the
structure's own window. A structure that ends early has the fields that fit. `decode_record` is the Python border: plain
values, for counters, tests and tools; the printers read the same windows without the GIL.
"""

import struct
from ipaddress import ip_address

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc

from analytics.core.wire import structures
from analytics.core.wire.xdr cimport Window, be32, be64, cut, left, take32

cdef dict KINDS = {
    "u32": U32, "i32": I32, "u64": U64, "f32": F32, "f64": F64, "u8": U8, "mac": MAC, "ip4": IP4, "ip6": IP6,
    "uuid": UUID, "addr": ADDR, "str": STR, "opaque": OPAQUE, "rest": REST, "percent": PERCENT, "dpid": DPID,
    "word": WORD, "source": SOURCE, "source2": SOURCE2, "port": PORT, "port2": PORT2, "u32s": U32S,
    "percents": PERCENTS, "labels": LABELS, "vlans": VLANS, "as_path": AS_PATH, "first_as": FIRST_AS,
    "last_as": LAST_AS, "lanes": LANES, "adapters": ADAPTERS, "header": HEADER, "payload": PAYLOAD,
    "flow_records": FLOW_RECORDS, "counter_records": COUNTER_RECORDS, "pdus": PDUS, "rtmetrics": RTMETRICS,
    "rtflows": RTFLOWS,
}
cdef dict FIXED = {
    1: "u8", 4: "u32 i32 f32 ip4 percent word source port", 8: "u64 f64 mac dpid source2 port2", 16: "ip6 uuid",
}
cdef list references = []                           # the bytes objects whose text the rows point to

cdef size_t[FIELD_KINDS] SIZES                      # bytes of each kind; 0 for those of variable length


cdef void compile_sizes() except *:
    for size, names in FIXED.items():
        for name in names.split():
            SIZES[<int>KINDS[name]] = size


cdef const char* c_text(text):
    data = text.encode()
    references.append(data)
    return data


cdef const WordRow* words_of(name) except NULL:
    words = structures.WORDS[name]
    cdef WordRow* rows = <WordRow*>calloc(len(words) + 1, sizeof(WordRow))
    cdef int i = 0
    if rows == NULL:
        raise MemoryError
    for number, word in sorted(words.items()):
        rows[i] = WordRow(number, c_text(word))
        i += 1
    return rows


cdef void compile_row(Row* row, one) except *:
    names = [field.name for field in one.fields]
    row.tag = one.tag[0] << 12 | one.tag[1]
    if one.label is not None:
        row.label_key, row.label = c_text(one.label[0]), c_text(one.label[1])
    row.fields, row.shown = len(one.fields), len(one.shown)
    if max(row.fields, row.shown) > MOST_FIELDS:
        raise ValueError(f"{one.text} {one.name}: more than {MOST_FIELDS} fields")
    sizes = [SIZES[<int>KINDS[field.type]] for field in one.fields]
    row.size = sum(sizes) if all(sizes) else 0
    for i, field in enumerate(one.fields):
        row.field[i] = FieldRow(KINDS[field.type], field.optional)
    for i, shown in enumerate(one.shown):
        field = one.fields[names.index(shown.field)]
        row.show[i].name, row.show[i].length = c_text(shown.name), len(shown.name.encode())
        row.show[i].kind, row.show[i].field = KINDS[shown.type or field.type], names.index(shown.field)
        row.show[i].hidden_if_empty = field.hidden_if_empty
        row.show[i].protocol = ANY_PROTOCOL if shown.protocol is None else shown.protocol
        if row.show[i].kind == WORD:
            row.show[i].words = words_of(shown.name)
            row.show[i].unknown = c_text(structures.WORD_UNKNOWN[shown.name])


cdef StructureTable compile_table(rows) except *:
    cdef StructureTable table = StructureTable(<Row*>calloc(len(rows), sizeof(Row)), len(rows))
    if table.rows == NULL:
        raise MemoryError
    for i, tag in enumerate(sorted(rows)):
        compile_row(&table.rows[i], rows[tag])
    return table


compile_sizes()
SAMPLE_TABLE = compile_table(structures.SAMPLES)
FLOW_TABLE = compile_table(structures.FLOW_RECORDS)
COUNTER_TABLE = compile_table(structures.COUNTER_RECORDS)


cdef const Row* find(const StructureTable* table, uint32_t tag) noexcept nogil:
    """The row of a tag, NULL when it is not in the table."""
    cdef int low = 0, high = table.count, middle
    while low < high:
        middle = (low + high) >> 1
        if table.rows[middle].tag < tag:
            low = middle + 1
        else:
            high = middle
    return &table.rows[low] if low < table.count and table.rows[low].tag == tag else NULL


cdef inline bint take(Window* body, size_t length, Window* part) noexcept nogil:
    if left(body) < length:
        return 0
    part.at, part.end = body.at, body.at + length
    body.at += length
    return 1


cdef bint take_counted(Window* body, uint32_t size, Window* part) noexcept nogil:
    """A count and as many items of `size` bytes; the window has the items."""
    cdef uint32_t count = 0
    return take32(body, &count) and count <= left(body) // size and take(body, <size_t>count * size, part)


cdef bint take_address(Window* body, Window* part) noexcept nogil:
    cdef uint32_t kind = 0
    return take32(body, &kind) and kind <= 2 and take(body, 4 if kind == 1 else 16 if kind == 2 else 0, part)


cdef bint take_lists(Window* body, uint32_t skipped, uint32_t size, Window* part) noexcept nogil:
    """A count of entries, each a word and a counted list of items; the window has all of it, the count too."""
    cdef uint32_t entries = 0
    cdef Window items
    part.at = body.at
    if not take32(body, &entries):
        return 0
    while entries:                                  # each takes at least 8 bytes, so a count that lies ends the loop
        if not take(body, skipped, &items) or not take_counted(body, size, &items):
            return 0
        entries -= 1
    part.end = body.at
    return 1


cdef bint take_header(Window* body, Window* part, bint* whole) noexcept nogil:
    """An opaque of which the part that is there is kept."""
    cdef uint32_t length = 0
    if not take32(body, &length):
        return 0
    if length > left(body):
        whole[0] = 0
        length = <uint32_t>left(body)
    return cut(body, length, part)


cdef bint take_field(FieldKind kind, Window* body, Window* part, bint* whole) noexcept nogil:
    cdef uint32_t length = 0
    if SIZES[<int>kind]:
        return take(body, SIZES[<int>kind], part)
    if kind in (STR, OPAQUE):
        return take32(body, &length) and cut(body, length, part)
    if kind == HEADER:
        return take_header(body, part, whole)
    if kind == ADDR:
        return take_address(body, part)
    if kind in (U32S, PERCENTS, LABELS, VLANS):
        return take_counted(body, 4, part)
    if kind == LANES:
        return take_counted(body, 40, part)
    if kind in (AS_PATH, ADAPTERS):
        return take_lists(body, 4, 4 if kind == AS_PATH else 8, part)
    return take(body, left(body), part)             # structures within this one


cdef int locate(const Row* row, Window body, Window* found, bint* whole) noexcept nogil:
    """Fill `found` with a window per field, in wire order; answers how many there are.

    `whole` is cleared when the structure ends before a field that is not optional, or within its sampled header.
    """
    cdef int i
    whole[0] = 1
    for i in range(row.fields):
        if not take_field(row.field[i].kind, &body, &found[i], whole):
            if not row.field[i].optional or left(&body) != 0:
                whole[0] = 0
            return i
    return row.fields


cdef bint next_structure(Window* rest, uint32_t* tag, Window* body, bint* whole) noexcept nogil:
    """The tag and window of the next sample or record; a length beyond the end is cut to what is there."""
    cdef uint32_t length = 0
    if not take32(rest, tag) or not take32(rest, &length):
        return 0
    whole[0] = length <= left(rest)
    cut(rest, length if whole[0] else <uint32_t>left(rest), body)
    return 1


cdef object words_in(data):
    return list(struct.unpack(f">{len(data) // 4}I", data))


cdef object list_of(FieldKind kind, bytes data):
    """An AS path as (type, [AS number]) and adapters as (ifIndex, [MAC]); `data` begins with the count."""
    made, at, size = [], 4, 4 if kind == AS_PATH else 8
    for _ in range(int.from_bytes(data[:4], "big")):
        head, count = struct.unpack_from(">II", data, at)
        items = data[at + 8 : at + 8 + count * size]
        at += 8 + count * size
        made.append((head, words_in(items) if size == 4 else
                     [items[i : i + 6].hex() for i in range(0, len(items), 8)]))
    return made


cdef object plain(FieldKind kind, const Window* part):
    cdef bytes data
    if kind in (U32, WORD, SOURCE, PORT):
        return be32(part.at)
    if kind in (U64, SOURCE2, PORT2):
        return be64(part.at)
    if kind in (I32, PERCENT):
        return <int32_t>be32(part.at)
    data = (<const char*>part.at)[:left(part)]
    if kind == U8:
        return data[0]
    if kind == F32:
        return struct.unpack(">f", data)[0]
    if kind == F64:
        return struct.unpack(">d", data)[0]
    if kind == STR:
        return data.rstrip(b"\0").decode("utf-8", "replace")
    if kind == MAC:
        return data[:6].hex()
    if kind in (IP4, IP6, ADDR):
        return str(ip_address(data)) if data else "-"
    if kind in (UUID, DPID):
        return data.hex()
    if kind in (U32S, LABELS, VLANS):
        return words_in(data)
    if kind == PERCENTS:
        return list(struct.unpack(f">{len(data) // 4}i", data))
    if kind == LANES:
        return [words_in(data[i : i + 40]) for i in range(0, len(data), 40)]
    if kind in (AS_PATH, ADAPTERS):
        return list_of(kind, data)
    return data


def decode_record(tag, const uint8_t[::1] body, *, flow=False):
    """One record by its (enterprise, format) and its bytes: ({field name: value}, True when nothing was missing).

    Names are those of structures.COUNTER_RECORDS, or FLOW_RECORDS if `flow`. Numbers are int (percent: hundredths, as
    on the wire, markers of the unknown included) or float; MACs, UUIDs and datapath ids hex; addresses text; lists of
    words list[int]; lanes list[list[int]]; as_path and adapters [(type or ifIndex, [...])]. KeyError: not known.
    """
    rows = structures.FLOW_RECORDS if flow else structures.COUNTER_RECORDS
    fields = rows[tag].fields
    cdef const Row* row = find(&FLOW_TABLE if flow else &COUNTER_TABLE, tag[0] << 12 | tag[1])
    cdef Window found[MOST_FIELDS]
    cdef bint whole = 1
    cdef int count, i
    cdef const uint8_t* at = &body[0] if body.shape[0] else NULL
    count = locate(row, Window(at, at + body.shape[0]), found, &whole)
    values = {}
    for i in range(count):
        values[fields[i].name] = plain(row.field[i].kind, &found[i])
    return values, bool(whole)
