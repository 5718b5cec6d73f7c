"""From the fields of a sample to the raw key of a flow definition.

A definition reads its fields in two ways. *Computed* fields go through Python once per combination of values never
seen before: the filter and key functions (regular expressions, links, prefixes) turn them into a key id, a small
number (0: not counted). *Carried* fields are plain keys; their raw bytes are the key, and text is made of them only
for an answer. So an entry is (data source, key id, carried bytes), and a million addresses cost no Python at all.

Computed (raw) fields: [agent 4, if asked for] then per field [present 4][value]. Carried bytes: per part [which
alternative 4, if tagged][value]. Both padded with zeros to 8.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport DEPTH, HEADERS, LAYER, NEVER, UNKNOWN, Fields, describe, prepare
from analytics.core.dissect.walk cimport dissect
from analytics.core.staticassert cimport static_assert

from analytics.core.dissect import recordkeys
from analytics.core.dissect import packet

cdef enum:
    OPTIONS_AT = 20                                 # bytes of IP's and TCP's headers before their options

cdef uint32_t PRESENT = 1

static_assert(HEADERS < LAYER)                      # NEVER is free
static_assert(MOST_PICKS <= 255)                    # Carried.first

MAX_PICKS = MOST_PICKS
MAX_VALUES = MOST_VALUES
MAX_CHOICES = MOST_CHOICES
MAX_KEY_BYTES = 8 * KEY_WORDS - 8                   # the first word of an entry's key is (data source, key id)


cdef dict DERIVED_FORMS = {"place": PLACE, "ipoptions": IP_OPTIONS, "tcpoptions": TCP_OPTIONS}


cdef Pick row_of(object name, dict rows):
    """The row of a field name with its depth suffix; KeyError when there is none."""
    cdef Pick row
    _, header, offset, wire, shift, mask, add, kind = rows[name]
    row.slot, row.offset, row.wire, row.shift = header, offset, wire, shift
    row.size = packet.KEY_SIZES.get(kind, 4)
    row.mask, row.add = mask, add
    if kind in DERIVED_FORMS:
        row.form = DERIVED_FORMS[kind]
    elif kind not in packet.KEY_SIZES:
        row.form = {1: ONE, 2: TWO, 4: FOUR}[wire]
    else:
        row.form = {4: BYTES4, 8: BYTES8, 16: BYTES16}.get(wire, PADDED) if wire == row.size else PADDED
    return row


cdef dict field_rows():
    """Every field name, also with its depth suffix -> its row (slot in place of header)."""
    rows = {}
    for name, header, *rest in (*packet.ROWS, *recordkeys.ROWS):
        rows[name] = (name, header, *rest)
        if header < HEADERS:
            for depth in range(1, DEPTH):
                rows[f"{name}.{depth}"] = (name, header + depth * LAYER, *rest)
    for name, header, kind in packet.DERIVED:
        for depth in range(DEPTH):
            full = f"{name}.{depth}" if depth else name
            rows[full] = (name, NEVER, header + depth * LAYER, 1, 0, 0, 0, kind)
    return rows


FIELDS = field_rows()


def slot_of(name: str) -> int:
    """The header that a field is there with."""
    _, slot, offset, *_, kind = FIELDS[name]
    return offset if kind in DERIVED_FORMS else slot


STATISTICS = {"rate": RATE, "avg": MEAN, "min": LEAST, "max": MOST, "count": DISTINCT}
STATE_WORDS = {RATE: 1, MEAN: 2, LEAST: 2, MOST: 2, DISTINCT: 2 * REGISTERS // 8}


def computed_size(size: int) -> int:
    """Bytes of a computed field: whether it is present, and its value."""
    return 8 if size == 4 else 8 + size


cdef bint are_neighbours(const Pick* one, const Pick* other, Form form) noexcept:
    """Two fields side by side in one header, of the same form, which take as many bytes in the key."""
    return (one.form == form and other.form == form and one.slot == other.slot
            and one.offset + one.wire == other.offset and one.add == other.add == 0
            and (form == BYTES4 or (one.mask == other.mask == 0xFFFF and one.shift == other.shift == 0)))


cdef bint join(KeyPlan* plan, const Carried* one, const Carried* other, Form form, Form joined) noexcept:
    """Let the first of two parts read both, if their fields are neighbours in every alternative."""
    cdef uint32_t which
    cdef Pick* row
    for which in range(one.count):
        if not are_neighbours(&plan.picks[one.first + which], &plan.picks[other.first + which], form):
            return 0
    for which in range(one.count):
        row = &plan.picks[one.first + which]
        row.form, row.wire, row.size = joined, 2 * row.wire, 8
    return 1


cdef void join_parts(KeyPlan* plan) noexcept:
    """Parts of the key that are side by side on the wire are read at once: two addresses, two ports."""
    cdef uint32_t i, kept = 0
    cdef Carried* part
    cdef Carried* last = NULL
    for i in range(plan.carried):
        part = &plan.parts[i]
        if (last != NULL and last.count == part.count and not last.tagged and not part.tagged
                and (join(plan, last, part, BYTES4, BYTES8) or join(plan, last, part, TWO, TWO_NUMBERS))):
            continue
        plan.parts[kept] = part[0]
        last = &plan.parts[kept]
        kept += 1
    plan.carried = kept


cdef int compile_plan(KeyPlan* plan, object program) except -1:
    """Fill a key plan from what definition.Definition describes.

    The compiler in definitions.py has checked names and bounds; ValueError here means it did not.
    """
    cdef uint32_t count = 0, width = 0
    memset(plan, 0, sizeof(KeyPlan))
    if len(program.computed) + sum(len(names) for names, _ in program.carried) > MOST_PICKS:
        raise ValueError("too many fields")
    plan.computed = len(program.computed)
    plan.by_agent = program.by_agent
    for name in program.computed:
        plan.picks[count] = row_of(name, FIELDS)
        width += computed_size(plan.picks[count].size)
        plan.derived = plan.derived or plan.picks[count].form >= PLACE
        count += 1
    plan.computed_words = width // 8 + plan.by_agent
    width = 0
    for index, (names, tagged) in enumerate(program.carried):
        plan.parts[index] = Carried(count, len(names), tagged)
        size = 0
        for name in names:
            plan.picks[count] = row_of(name, FIELDS)
            size = max(size, plan.picks[count].size)
            count += 1
        width += size + 4 * tagged
    plan.carried = len(program.carried)
    join_parts(plan)
    plan.carried_words = (width + 7) // 8
    if plan.carried_words >= KEY_WORDS or plan.computed_words > KEY_WORDS:
        raise ValueError("key too wide")
    plan.connected = program.connection is not None
    if plan.connected:
        plan.flags = row_of(program.connection, FIELDS)
    plan.valued = program.value is not None
    if plan.valued:
        plan.value = row_of(program.value, FIELDS)
    plan_values(plan, program.statistics)
    plan.of_agent = program.of_agent
    return 0


cdef int plan_values(KeyPlan* plan, object statistics) except -1:
    """Give every value its place in the state of an entry."""
    cdef Measured* value
    if len(statistics) > MOST_VALUES or any([len(names) > MOST_CHOICES for _, names in statistics]):
        raise ValueError("too many values")
    plan.state_words = STATE_HEAD
    for index, (statistic, names) in enumerate(statistics):
        value = &plan.values[index]
        value.statistic, value.count, value.place = STATISTICS[statistic], len(names), plan.state_words
        plan.state_words += STATE_WORDS[value.statistic]
        for which, name in enumerate(names):
            value.picks[which] = row_of(name, FIELDS)
    plan.value_count = len(statistics)
    return 0


cdef bint derive(const Fields* fields, const Pick* row, uint8_t* out) noexcept nogil:
    """Write a derived field in key form; 0 and nothing written if the sample lacks it."""
    cdef const uint8_t* at
    cdef uint32_t length, place
    if not (fields.present[row.offset >> 6] >> (row.offset & 63)) & 1:
        return 0
    at = fields.at[row.offset]
    if row.form == PLACE:
        place = <uint32_t>(at - fields.start)
        memcpy(out, &place, 4)
        return 1
    if fields.end[row.offset] - at < OPTIONS_AT:
        return 0
    length = (at[0] & 0xF if row.form == IP_OPTIONS else at[12] >> 4) * 4
    if length <= OPTIONS_AT or fields.end[row.offset] - at < length:
        return 0
    memset(out, 0, row.size)
    out[0] = <uint8_t>(length - OPTIONS_AT)
    memcpy(out + 1, at + OPTIONS_AT, length - OPTIONS_AT)
    return 1


cdef void gather_derived(const Fields* fields, const KeyPlan* plan, uint64_t* out) noexcept nogil:
    """Fill in the fields that gather_computed takes for absent because they are derived."""
    cdef const Pick* row
    cdef uint32_t i
    out += plan.by_agent
    for i in range(plan.computed):
        row = &plan.picks[i]
        if row.form >= PLACE and derive(fields, row, <uint8_t*>out + (4 if row.size == 4 else 8)):
            memcpy(out, &PRESENT, 4)
        out += 1 if row.size == 4 else 1 + row.size // 8


cdef uint8_t* gather_tagged(const Fields* fields, const Carried* part, const Pick* row, uint8_t* to) noexcept nogil:
    """A part whose alternatives differ in form: which one it is, the value, zeros. What comes behind it, or NULL."""
    cdef uint32_t which, size = 0
    for which in range(part.count):
        if row[which].size > size:
            size = row[which].size
    memset(to, 0, 4 + size)
    for which in range(part.count):
        if pick(fields, &row[which], to + 4):
            memcpy(to, &which, 4)
            return to + 4 + size
    return NULL


def fields_of(const uint8_t[::1] header not None, uint32_t protocol=1) -> dict:
    """Dissect one header: every field it has, name -> raw key bytes. The Python border, for tests and tools."""
    return fields_inside(header, 0, header.shape[0], protocol)


def fields_inside(const uint8_t[::1] buffer not None, uint32_t start, uint32_t length, uint32_t protocol=1) -> dict:
    """The same of a header inside of a larger buffer; IndexError when it is not inside."""
    cdef Fields fields
    cdef Pick row
    cdef uint8_t out[8 * KEY_WORDS]
    if <size_t>start + length > <size_t>buffer.shape[0]:
        raise IndexError("the header is not inside the buffer")
    prepare(&fields)
    describe(&fields, 0, 0, 0, 0, 0, 0, UNKNOWN)
    dissect(&fields, protocol, &buffer[0] + start if length else NULL, length)
    found = {}
    for name in names_found(&fields):
        row = row_of(name, FIELDS)
        if derive(&fields, &row, out) if row.form >= PLACE else pick(&fields, &row, out):
            found[name] = bytes(out[:row.size])
    return found


cdef list names_found(const Fields* fields):
    """The fields whose headers a sample has, if perhaps not whole."""
    cdef int slot
    found = []
    for name in FIELDS:
        slot = slot_of(name)
        if (fields.present[slot >> 6] >> (slot & 63)) & 1:
            found.append(name)
    return found


def spans_of(const uint8_t[::1] header not None, uint32_t protocol=1) -> dict:
    """Where the fields of one header are in it: name -> (first byte, byte behind), but for fields kept elsewhere."""
    cdef Fields fields
    cdef Pick row
    cdef const uint8_t* at
    cdef const uint8_t* start = &header[0] if header.shape[0] else NULL
    prepare(&fields)
    describe(&fields, 0, 0, 0, 0, 0, 0, UNKNOWN)
    dissect(&fields, protocol, start, header.shape[0])
    spans = {}
    for name in names_found(&fields):
        row = row_of(name, FIELDS)
        at = field_at(&fields, &row)
        if at != NULL and start <= at < start + header.shape[0]:
            spans[name] = (at - start, at + row.wire - start)
    return spans
