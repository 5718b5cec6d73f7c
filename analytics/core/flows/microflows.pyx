"""Which bytes make the signature of a sample, and which fields are added up (what for: shortcuts.pxd)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from analytics.core.flows.flowcache cimport FlowCache

from analytics.core.flows.flowkeys import FIELDS


def looks_of(programs) -> list[tuple[int, int, int]]:
    """(slot, offset, size) of what the programs read for keys and filters, in order, in pieces of at most 8 bytes.

    `programs`: definitions.Program, of which `judged` and `carried` are read.
    """
    read = set()
    for program in programs:
        for name in (*program.judged, *(name for names, _ in program.carried for name in names)):
            _, slot, offset, wire, *_ = FIELDS[name]
            read |= {(slot, offset + byte) for byte in range(wire)}
    looks = []
    while read:
        slot, offset = min(read)
        size = 1
        while size < 8 and (slot, offset + size) in read:
            size += 1
        read -= {(slot, offset + byte) for byte in range(size)}
        looks.append((slot, offset, size))
    return looks


cdef bint shortcuts_open(Shortcuts* shortcuts, list caches) except -1:
    """Begin anew, without any shortcut, for these definitions; 0: they read too much, there are none."""
    cdef uint32_t i
    cdef Wanted* wanted
    shortcuts_close(shortcuts)
    looks = looks_of([cache.program for cache in caches])
    values = list(dict.fromkeys([None, *(cache.program.value for cache in caches)]))
    if not caches or len(looks) > MOST_LOOKS or len(values) > MOST_AMOUNTS:
        return 0
    for i, (slot, offset, size) in enumerate(looks):
        shortcuts.looks[i] = Look(offset + size - 8, 64 - 8 * size)
        wanted = &shortcuts.of_slot[<uint8_t>slot]
        if wanted.count == 0:
            wanted.first = i
        wanted.count += 1
        wanted.extent = offset + size
        shortcuts.slots[slot >> 6] |= <uint64_t>1 << (slot & 63)
    shortcuts.amount_count = len(values)
    for i, cache in enumerate(caches):
        shortcuts.amount_of[i] = values.index(cache.program.value)
        shortcuts.amounts[shortcuts.amount_of[i]] = (<FlowCache>cache).plan.value
    shortcuts.words = 1 + sum([shortcuts.slots[i] != 0 for i in range(4)]) + <uint32_t>len(looks)
    shortcuts.stride = 16 + 8 * (shortcuts.words + <uint32_t>len(caches))
    shortcuts.next_rest = FIRST_REST
    shortcuts.pairs = 2
    while shortcuts.pairs * 2 * shortcuts.stride <= ROOM:
        shortcuts.pairs *= 2
    shortcuts.places = <uint8_t*>calloc(shortcuts.pairs, shortcuts.stride)
    shortcuts.pairs -= 2
    shortcuts.marks = <uint16_t*>calloc(MARKS, sizeof(uint16_t))
    if shortcuts.places == NULL or shortcuts.marks == NULL:
        shortcuts_close(shortcuts)                  # they are a convenience
        return 0
    return 1


cdef void shortcuts_close(Shortcuts* shortcuts) noexcept nogil:
    free(shortcuts.places)
    free(shortcuts.marks)
    memset(shortcuts, 0, sizeof(Shortcuts))
