"""Which bytes make the microflow key of a sample, which fields are added up, and which microflows are kept.

What for, and what it costs: microflows.pxd.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from analytics.core.flows.flowcache cimport FlowCache, Value
from analytics.core.seenonce cimport seen_once_close, seen_once_open
from analytics.core.staticassert cimport static_assert
from analytics.core.table cimport (
    Segment, cell_near, cell_of, find, insert, payload_of, remove, replace, segment_at, shrink, table_close,
    table_open, was_met,
)

from analytics.core.flows import flowkeys

static_assert(MOST_LOADS <= 255)                    # HeaderLoads.first
static_assert(MOST_AMOUNTS <= 256)                  # MicroflowCache.amount_of


def masked_loads(programs) -> list[tuple[int, int, int]]:
    """(slot, offset, size) of what the programs read for keys and filters, in order, in pieces of at most 8 bytes.

    `programs`: definitions.Program, of which `computed`, `carried` and `connection` are read.
    """
    read = set()
    for program in programs:
        for name in (*program.computed, *(name for names, _ in program.carried for name in names)):
            _, slot, offset, wire, *_ = flowkeys.FIELDS[name]
            read |= {(slot, offset + byte) for byte in range(wire)}
        if program.connection is not None:          # so packets that end it are not alike to others (classifier.pyx)
            _, slot, offset, wire, *_ = flowkeys.FIELDS[program.connection]
            read.add((slot, offset + wire - 1))
    loads = []
    while read:
        slot, offset = min(read)
        size = 1
        while size < 8 and (slot, offset + size) in read:
            size += 1
        read -= {(slot, offset + byte) for byte in range(size)}
        loads.append((slot, offset, size))
    return loads


cdef bint microflows_open(MicroflowCache* microflows, list caches, uint64_t seed, uint64_t max_bytes) except -1:
    """Begin anew, without any microflow, for these definitions; 0: they read too much, no microflows are kept."""
    cdef uint32_t i, payload
    cdef uint64_t tags = 1
    cdef HeaderLoads* wanted
    microflows_close(microflows)
    loads = masked_loads([cache.program for cache in caches])
    values = list(dict.fromkeys([None, *(cache.program.value for cache in caches)]))
    if not caches or len(loads) > MOST_LOADS or len(values) > MOST_AMOUNTS:
        return 0
    for i, (slot, offset, size) in enumerate(loads):
        microflows.loads[i] = MaskedLoad(offset + size - 8, 64 - 8 * size)
        wanted = &microflows.of_slot[<uint8_t>slot]
        if wanted.count == 0:
            wanted.first = i
        wanted.count += 1
        wanted.extent = offset + size
        microflows.slots[slot >> 6] |= <uint64_t>1 << (slot & 63)
    microflows.amount_count = len(values)
    for i, cache in enumerate(caches):
        microflows.amount_of[i] = values.index(cache.program.value)
        microflows.amounts[microflows.amount_of[i]] = (<FlowCache>cache).plan.value
    microflows.trial = TRIAL * <uint32_t>len(caches)
    microflows.next_rest = FIRST_REST
    payload = sizeof(Microflow) + sizeof(Value*) * (<uint32_t>len(caches) - 1)
    while tags < MOST_TAGS and 2 * tags * TAG_SHARE <= max_bytes:
        tags *= 2
    if (table_open(&microflows.table, 0, payload, ~<uint64_t>0, max_bytes - max_bytes // TAG_SHARE * 2, seed)
            and seen_once_open(&microflows.seen_once, tags)):
        microflows.keeps = 1
        return 1
    microflows_close(microflows)                    # without memory for them the definitions do it all
    return 0


cdef void microflows_close(MicroflowCache* microflows) noexcept nogil:
    table_close(&microflows.table)
    seen_once_close(&microflows.seen_once)
    memset(microflows, 0, sizeof(MicroflowCache))


cdef Microflow* microflow_place(MicroflowCache* microflows, uint64_t hash, uint32_t era) noexcept nogil:
    """Where to write the microflow of a hash; NULL: there are too many. Then it takes the place of one near by that is
    void or not used, or now and then of one that is."""
    cdef HashTable* table = &microflows.table
    cdef uint8_t* found = find(table, &hash, hash)
    cdef uint64_t* cell
    cdef Microflow* other
    cdef uint32_t i
    if found == NULL:
        found = insert(table, &hash, hash)
    if found != NULL:
        return <Microflow*>found
    microflows.turn += 1
    for i in range(NEAR_BY):
        cell = cell_near(table, hash, i)
        other = <Microflow*>payload_of(table, cell)
        if cell[0] and (other.era != era or other.unused or microflows.turn % (16 * NEAR_BY) == 16 * i):
            return <Microflow*>replace(table, cell, &hash, hash)
    return NULL


cdef uint64_t microflows_sweep(MicroflowCache* microflows, uint64_t position) noexcept nogil:
    """Forget those of one segment that nobody uses; answers where to go on, 0 when through."""
    cdef HashTable* table = &microflows.table
    cdef Segment segment
    cdef uint64_t slot = 0
    cdef uint64_t* cell
    cdef Microflow* it
    if not microflows.keeps:
        return 0
    segment = segment_at(table, position)
    while slot < table.cells:
        cell = cell_of(table, segment.start, slot)
        if cell[0] and not was_met(&segment, position, cell[0]):
            it = <Microflow*>payload_of(table, cell)
            it.unused += 1
            if it.unused > UNUSED_SWEEPS:
                remove(table, cell)                 # may pull a neighbour into this slot: look again
                continue
        slot += 1
    shrink(table)
    return segment.after
