"""From what a sample looks like straight to the entries it counts for: an exact-match cache before the definitions.

The *signature* of a sample is its data source and the bytes of every field that any definition reads for a key or a
filter; samples of one signature count for the same entries. The first of them leaves a mark here, the second goes
through the definitions once more and leaves the places of its entries, all others are added up there at once. (Open
vSwitch puts its microflow cache before its classifier for the same reason.) So a flow costs its definitions twice,
and flows that are sampled once drive out no other.

Where flows are many and all alike, few samples find a shortcut and looking for one is lost work: then it rests.

A shortcut is good until entries move or verdicts are forgotten: the tables count that, and it holds their sum. A
header that is cut before the end of the wanted fields has no signature: its samples take the long way.
"""

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from analytics.core.flows.flowcache cimport Value
from analytics.core.flows.flowkeys cimport Pick, narrow, place
from analytics.core.dissect.packet cimport Fields
from analytics.core.flows.table cimport fetch

cdef extern from *:
    """
    /* of eight bytes in the order of memory the last ones, without the first `bits` */
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define howdah_tail(word, bits) ((word) << (bits))
    #else
    #define howdah_tail(word, bits) ((word) >> (bits))
    #endif
    """
    uint64_t tail "howdah_tail"(uint64_t word, uint32_t bits) noexcept nogil
    int lowest_bit "__builtin_ctzll"(uint64_t) noexcept nogil

cdef enum:
    ROOM = 1 << 23                                  # bytes of shortcuts
    MARKS = 1 << 18
    TRIAL = 1 << 14                                 # samples, of which
    FEW = 1 << 12                                   # so many must find a shortcut; else nobody looks for one
    FIRST_REST = 1 << 17                            # for so many samples, then twice as many ...
    LONGEST_REST = 1 << 20
    MOST_LOOKS = 64
    MOST_WORDS = 69                                 # of a signature: data source, presence of slots, looks
    MOST_AMOUNTS = 8                                # different fields that definitions add up, and 1 for frames

cdef struct Look:                                   # up to eight wanted bytes of a header
    int16_t offset                                  # of the eight bytes that end with them
    uint16_t before                                 # bits of those that are not wanted

cdef struct Wanted:                                 # all that is wanted of a header
    uint8_t first, count                            # looks
    uint16_t extent                                 # where the last one ends

cdef struct Shortcut:
    uint64_t hash
    uint64_t moves                                  # 0: free
    uint64_t words[1]                               # the signature; behind it a Value* per definition, NULL: not counted

cdef struct Due:                                    # a sample whose entries are on their way from memory
    Shortcut* shortcut                              # NULL: none
    uint32_t source
    double amounts[8]

cdef struct Shortcuts:
    Look looks[64]
    Wanted of_slot[256]
    uint64_t slots[4]                               # bit per slot of which something is wanted
    Pick amounts[8]                                 # from 1 on
    uint32_t amount_count
    uint8_t amount_of[128]                          # per definition
    uint32_t words, stride
    uint32_t tried, found                           # samples of this trial, those that found a shortcut
    uint32_t rest, next_rest                        # samples that still do not look; as many after the next failure
    uint32_t turn                                   # which of several newcomers may replace a good shortcut
    uint64_t pairs                                  # places - 2: their number is a power of two
    uint8_t* places                                 # NULL: the definitions read too much, or there are none
    uint16_t* marks

cdef bint shortcuts_open(Shortcuts* shortcuts, list caches) except -1
cdef void shortcuts_close(Shortcuts* shortcuts) noexcept nogil


cdef inline uint32_t sign(const Shortcuts* shortcuts, const Fields* fields, uint32_t source,
                          uint64_t* out) noexcept nogil:
    """Write a sample's signature; answers its length in words, 0 when it has none.

    Only headers that are there have words: which ones are is part of the signature. Every look reads eight bytes, at
    worst the last ones before its header: what a slot points at never begins a piece of memory.
    """
    cdef uint32_t word, i, count = 1
    cdef uint64_t slots
    cdef const Wanted* wanted
    cdef const Look* look
    cdef const uint8_t* at
    cdef uint32_t slot
    cdef uint64_t eight
    out[0] = source
    for word in range(4):
        if shortcuts.slots[word] == 0:
            continue
        slots = fields.present[word] & shortcuts.slots[word]
        out[count] = slots
        count += 1
        while slots:
            slot = (word << 6) + <uint32_t>lowest_bit(slots)
            slots &= slots - 1
            wanted = &shortcuts.of_slot[slot]
            at = fields.at[slot]
            if at + wanted.extent > fields.end[slot]:
                return 0
            look = &shortcuts.looks[wanted.first]
            for i in range(wanted.count):
                memcpy(&eight, at + look[i].offset, 8)
                out[count] = tail(eight, look[i].before)
                count += 1
    return count


cdef inline bint weigh(const Shortcuts* shortcuts, const Fields* fields, double rate, double* out) noexcept nogil:
    """What the sample adds to each kind of value; 0 when it lacks the field of one."""
    cdef uint32_t i
    cdef const uint8_t* at
    out[0] = rate
    for i in range(1, shortcuts.amount_count):
        at = place(fields, &shortcuts.amounts[i])
        if at == NULL:
            return 0
        out[i] = rate * narrow(at, &shortcuts.amounts[i])
    return 1


cdef inline Value** entries_of(const Shortcuts* shortcuts, Shortcut* shortcut) noexcept nogil:
    return <Value**>&shortcut.words[shortcuts.words]


cdef inline Shortcut* pair_of(const Shortcuts* shortcuts, uint64_t hash) noexcept nogil:
    """Each signature has two places it may be in, side by side."""
    return <Shortcut*>(shortcuts.places + (hash & shortcuts.pairs) * shortcuts.stride)


cdef inline Shortcut* beside(const Shortcuts* shortcuts, Shortcut* first) noexcept nogil:
    return <Shortcut*>(<uint8_t*>first + shortcuts.stride)


cdef inline void fetch_pair(const Shortcuts* shortcuts, uint64_t hash) noexcept nogil:
    """Ask the memory for where the shortcut of a signature would be, some time before it is wanted."""
    fetch(pair_of(shortcuts, hash), 0)
    fetch(beside(shortcuts, pair_of(shortcuts, hash)), 0)
    fetch(<uint8_t*>beside(shortcuts, pair_of(shortcuts, hash)) + shortcuts.stride - 1, 0)


cdef inline Shortcut* recall(const Shortcuts* shortcuts, uint64_t hash, uint64_t moves, const uint64_t* signature,
                             uint32_t count) noexcept nogil:
    """The shortcut of a signature, NULL if there is none or its entries have moved."""
    cdef uint32_t i
    cdef Shortcut* found = pair_of(shortcuts, hash)
    if found.hash != hash:
        found = beside(shortcuts, found)
        if found.hash != hash:
            return NULL
    if found.moves != moves:
        return NULL
    for i in range(count):
        if found.words[i] != signature[i]:
            return NULL
    return found


cdef inline bint is_second(const Shortcuts* shortcuts, uint64_t hash) noexcept nogil:
    """Whether a signature has left its mark already, as far as 16 bits of it tell; leaves it."""
    cdef uint16_t* mark = &shortcuts.marks[hash >> 14 & (MARKS - 1)]
    cdef uint16_t tag = <uint16_t>(hash >> 48)
    cdef bint second = mark[0] == tag
    mark[0] = tag
    return second


cdef inline bint is_worth_it(Shortcuts* shortcuts) noexcept nogil:
    """Whether to look for a shortcut at all."""
    if shortcuts.rest:
        shortcuts.rest -= 1
        return 0
    if shortcuts.tried == TRIAL:
        if shortcuts.found < FEW:
            shortcuts.rest = shortcuts.next_rest
            shortcuts.next_rest = min(2 * shortcuts.rest, <uint32_t>LONGEST_REST)
        else:
            shortcuts.next_rest = FIRST_REST
        shortcuts.tried = shortcuts.found = 0
    shortcuts.tried += 1
    return shortcuts.places != NULL


cdef inline Shortcut* vacancy(Shortcuts* shortcuts, uint64_t hash, uint64_t moves) noexcept nogil:
    """Where to put a new shortcut: over a useless one, else now and then over a good one; NULL: nowhere."""
    cdef Shortcut* first = pair_of(shortcuts, hash)
    cdef Shortcut* second = beside(shortcuts, first)
    if first.hash == hash or first.moves != moves:
        return first
    if second.hash == hash or second.moves != moves:
        return second
    shortcuts.turn += 1
    if shortcuts.turn % 16:
        return NULL
    return second if shortcuts.turn % 32 else first
