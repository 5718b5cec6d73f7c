"""Which bytes make the microflow key of a sample, and which fields are added up (what for: microflows.pxd)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from analytics.core.dissect.packet cimport SLOT_WORDS
from analytics.core.flows.flowcache cimport FlowCache
from analytics.core.seenonce cimport seen_once_close, seen_once_open
from analytics.core.staticassert cimport static_assert

from analytics.core.flows import flowkeys

static_assert(MOST_LOADS <= 255)                    # HeaderLoads.first
static_assert(MOST_AMOUNTS <= 256)                  # MicroflowCache.amount_of
static_assert(SEEN_ONCE_TAGS & (SEEN_ONCE_TAGS - 1) == 0)


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


cdef bint microflows_open(MicroflowCache* microflows, list caches) except -1:
    """Begin anew, without any microflow, for these definitions; 0: they read too much, no microflows are kept."""
    cdef uint32_t i
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
    microflows.words = 1 + sum([microflows.slots[i] != 0 for i in range(SLOT_WORDS)]) + <uint32_t>len(loads)
    microflows.stride = 16 + 8 * (microflows.words + <uint32_t>len(caches))
    microflows.next_rest = FIRST_REST
    microflows.pairs = 2
    while microflows.pairs * 2 * microflows.stride <= CAPACITY:
        microflows.pairs *= 2
    microflows.places = <uint8_t*>calloc(microflows.pairs, microflows.stride)
    microflows.pairs -= 2
    if microflows.places == NULL or not seen_once_open(&microflows.seen_once, SEEN_ONCE_TAGS):
        microflows_close(microflows)                # without memory for them the definitions do it all
        return 0
    return 1


cdef void microflows_close(MicroflowCache* microflows) noexcept nogil:
    free(microflows.places)
    seen_once_close(&microflows.seen_once)
    memset(microflows, 0, sizeof(MicroflowCache))
