"""From the fields of a sample to the raw key of a flow definition.

A definition reads its fields in two ways. *Judged* fields go through Python once per combination of values never
seen before: the filter and key functions (regular expressions, links, prefixes) turn them into a verdict, a small
number (0: not counted). *Carried* fields are plain keys; their raw bytes are the key, and text is made of them only
when somebody asks. So an entry is (data source, verdict, carried bytes), and a million addresses cost no Python at
all.

Judged bytes: [agent 4, if asked for] then per field [present 4][value]. Carried bytes: per part [which alternative
4, if tagged][value]. Both padded with zeros to 8.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from analytics.core.ladder cimport dissect
from analytics.core.packet cimport DEPTH, FRAME, LAYER, UNKNOWN, Fields, describe

from analytics.core import packet

MAX_PICKS = MOST_PICKS
MAX_KEY_BYTES = 8 * KEY_WORDS - 8                   # the first word of an entry's key is (data source, verdict)
LAYERS = LAYER


cdef Pick row_of(object name, dict rows):
    """The row of a field name with its depth suffix; KeyError when there is none."""
    cdef Pick row
    _, header, offset, wire, shift, mask, add, kind = rows[name]
    row.slot, row.offset, row.wire, row.shift = header, offset, wire, shift
    row.copy = kind in packet.ROOMS
    row.room = packet.ROOMS.get(kind, 4)
    row.mask, row.add = mask, add
    return row


def field_rows() -> dict:
    """Every field name, also with its depth suffix -> its row (slot in place of header)."""
    rows = {}
    for name, header, *rest in packet.ROWS:
        rows[name] = (name, header, *rest)
        if header < FRAME:
            for depth in range(1, DEPTH):
                rows[f"{name}.{depth}"] = (name, header + depth * LAYER, *rest)
    return rows


FIELDS = field_rows()


def judged_room(room: int) -> int:
    """Bytes of a judged field: the mark that it is present, and its value."""
    return 8 if room == 4 else 8 + room


cdef int lay_out(Plan* plan, object program) except -1:
    """Fill a plan from program.judged (names), .by_agent, .carried (tuples of names, tagged), .value (name or None).

    The compiler in definitions.py has checked names and bounds; ValueError here means it did not.
    """
    cdef uint32_t count = 0, width = 0
    memset(plan, 0, sizeof(Plan))
    if len(program.judged) + sum(len(names) for names, _ in program.carried) > MOST_PICKS:
        raise ValueError("too many fields")
    plan.judged = len(program.judged)
    plan.by_agent = program.by_agent
    for name in program.judged:
        plan.picks[count] = row_of(name, FIELDS)
        width += judged_room(plan.picks[count].room)
        count += 1
    plan.judged_words = width // 8 + plan.by_agent
    width = 0
    for index, (names, tagged) in enumerate(program.carried):
        plan.parts[index] = Carried(count, len(names), tagged)
        room = 0
        for name in names:
            plan.picks[count] = row_of(name, FIELDS)
            room = max(room, plan.picks[count].room)
            count += 1
        width += room + 4 * tagged
    plan.carried = len(program.carried)
    plan.carried_words = (width + 7) // 8
    if plan.carried_words >= KEY_WORDS or plan.judged_words > KEY_WORDS:
        raise ValueError("key too wide")
    plan.valued = program.value is not None
    if plan.valued:
        plan.value = row_of(program.value, FIELDS)
    return 0


def fields_of(const uint8_t[::1] header not None, uint32_t protocol=1) -> dict:
    """Dissect one header: every field it has, name -> raw key bytes. The Python border, for tests and tools."""
    return fields_inside(header, 0, header.shape[0], protocol)


def fields_inside(const uint8_t[::1] buffer not None, uint32_t start, uint32_t length, uint32_t protocol=1) -> dict:
    """The same of a header inside of a larger buffer; IndexError when it does not lie in there."""
    cdef Fields fields
    cdef Pick row
    cdef uint8_t out[64]
    if <size_t>start + length > <size_t>buffer.shape[0]:
        raise IndexError("the header does not lie in the buffer")
    describe(&fields, 0, 0, 0, 0, 0, 0, UNKNOWN)
    dissect(&fields, protocol, &buffer[0] + start if length else NULL, length)
    found = {}
    for name in FIELDS:
        row = row_of(name, FIELDS)
        if pick(&fields, &row, out):
            found[name] = bytes(out[:row.room])
    return found
