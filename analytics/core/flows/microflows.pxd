"""Samples alike go straight to the entries they count for: an exact-match cache in front of the definitions.

The *microflow key* of a sample is its data source and the bytes of every field that any definition reads for a key or
a filter; samples of one microflow key count for the same entries. The first of them sets a tag in the seen-once filter,
the second goes through the definitions once more and makes a microflow, which has the addresses of its entries; all
others are added up there at once. (Open vSwitch puts its microflow cache in front of its classifier for the same
reason.) So a flow goes through the definitions twice, and flows that are sampled once replace no microflow.

Where flows are many and all alike, few samples find a microflow and looking one up is lost work: then the cache rests.

A microflow is valid until entries move or key ids are forgotten: each table counts that as its generation, and a
microflow keeps the sum of them. A header that is cut before the end of the wanted fields gives no microflow key: its
samples go through the definitions.
"""

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport MOST_FLOWS
from analytics.core.flows.flowkeys cimport Pick, field_at, narrow
from analytics.core.dissect.packet cimport SLOT_WORDS, SLOTS, Fields
from analytics.core.seenonce cimport SeenOnce
from analytics.core.table cimport fetch

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
    CAPACITY = 1 << 23                              # bytes of microflows
    SEEN_ONCE_TAGS = 1 << 18
    TRIAL = 1 << 14                                 # samples, of which
    FEW = 1 << 12                                   # so many must find a microflow; else the cache rests
    FIRST_REST = 1 << 17                            # for so many samples, then twice as many ...
    LONGEST_REST = 1 << 20
    MOST_LOADS = 64                                 # masked loads of a sample
    MOST_KEY_WORDS = 1 + SLOT_WORDS + MOST_LOADS    # of a microflow key: data source, presence of slots, loads
    MOST_AMOUNTS = 8                                # different fields that definitions add up, and 1 for frames

cdef struct MaskedLoad:                             # up to eight wanted bytes of a header
    int16_t offset                                  # of the eight bytes that end with them
    uint16_t before                                 # bits of those that are not wanted

cdef struct HeaderLoads:                            # all that is wanted of a header
    uint8_t first, count                            # masked loads
    uint16_t extent                                 # where the last one ends

cdef struct Microflow:
    uint64_t hash
    uint64_t generation                             # 0: free
    uint64_t words[1]                               # the key; behind it a Value* per definition, NULL: not counted

cdef struct PendingUpdate:                          # a sample whose entries are on their way from memory
    Microflow* microflow                            # NULL: none
    uint32_t source
    double amounts[MOST_AMOUNTS]

cdef struct MicroflowCache:
    MaskedLoad loads[MOST_LOADS]
    HeaderLoads of_slot[SLOTS]
    uint64_t slots[SLOT_WORDS]                      # bit per slot of which something is wanted
    Pick amounts[MOST_AMOUNTS]                      # from 1 on
    uint32_t amount_count
    uint8_t amount_of[MOST_FLOWS]                   # per definition
    uint32_t words, stride
    uint32_t tried, found                           # samples of this trial, those that found a microflow
    uint32_t rest, next_rest                        # samples not looked up from now on; as many after the next trial
    uint32_t turn                                   # counts new microflows: now and then one replaces a valid one
    uint64_t pairs                                  # places - 2: their number is a power of two
    uint8_t* places                                 # NULL: the definitions read too much, or there are none
    SeenOnce seen_once

cdef bint microflows_open(MicroflowCache* microflows, list caches) except -1
cdef void microflows_close(MicroflowCache* microflows) noexcept nogil


cdef inline uint32_t make_key(const MicroflowCache* microflows, const Fields* fields, uint32_t source,
                              uint64_t* out) noexcept nogil:
    """Write a sample's microflow key; answers its length in words, 0 when it has none.

    Only headers that are there have words: which ones are is part of the key. Every load reads eight bytes, at worst
    the last ones before its header: what a slot points at is never at the start of a block of memory.
    """
    cdef uint32_t word, i, count = 1
    cdef uint64_t slots
    cdef const HeaderLoads* wanted
    cdef const MaskedLoad* load
    cdef const uint8_t* at
    cdef uint32_t slot
    cdef uint64_t eight
    out[0] = source
    for word in range(SLOT_WORDS):
        if microflows.slots[word] == 0:
            continue
        slots = fields.present[word] & microflows.slots[word]
        out[count] = slots
        count += 1
        while slots:
            slot = (word << 6) + <uint32_t>lowest_bit(slots)
            slots &= slots - 1
            wanted = &microflows.of_slot[slot]
            at = fields.at[slot]
            if at + wanted.extent > fields.end[slot]:
                return 0
            load = &microflows.loads[wanted.first]
            for i in range(wanted.count):
                memcpy(&eight, at + load[i].offset, 8)
                out[count] = tail(eight, load[i].before)
                count += 1
    return count


cdef inline bint find_amounts(const MicroflowCache* microflows, const Fields* fields, double rate,
                              double* out) noexcept nogil:
    """What the sample adds to each kind of value; 0 when it lacks the field of one."""
    cdef uint32_t i
    cdef const uint8_t* at
    out[0] = rate
    for i in range(1, microflows.amount_count):
        at = field_at(fields, &microflows.amounts[i])
        if at == NULL:
            return 0
        out[i] = rate * narrow(at, &microflows.amounts[i])
    return 1


cdef inline Value** entries_of(const MicroflowCache* microflows, Microflow* microflow) noexcept nogil:
    return <Value**>&microflow.words[microflows.words]


cdef inline Microflow* pair_of(const MicroflowCache* microflows, uint64_t hash) noexcept nogil:
    """Each microflow key has two places it may be in, side by side."""
    return <Microflow*>(microflows.places + (hash & microflows.pairs) * microflows.stride)


cdef inline Microflow* beside(const MicroflowCache* microflows, Microflow* first) noexcept nogil:
    return <Microflow*>(<uint8_t*>first + microflows.stride)


cdef inline void fetch_pair(const MicroflowCache* microflows, uint64_t hash) noexcept nogil:
    """Ask the memory for where a microflow would be, some time before it is looked up."""
    fetch(pair_of(microflows, hash), 0)
    fetch(beside(microflows, pair_of(microflows, hash)), 0)
    fetch(<uint8_t*>beside(microflows, pair_of(microflows, hash)) + microflows.stride - 1, 0)


cdef inline Microflow* lookup(const MicroflowCache* microflows, uint64_t hash, uint64_t generation,
                              const uint64_t* key, uint32_t count) noexcept nogil:
    """The microflow of a key, NULL if there is none or its entries have moved."""
    cdef uint32_t i
    cdef Microflow* found = pair_of(microflows, hash)
    if found.hash != hash:
        found = beside(microflows, found)
        if found.hash != hash:
            return NULL
    if found.generation != generation:
        return NULL
    for i in range(count):
        if found.words[i] != key[i]:
            return NULL
    return found


cdef inline bint is_worth_it(MicroflowCache* microflows) noexcept nogil:
    """Whether to look up microflows at all."""
    if microflows.rest:
        microflows.rest -= 1
        return 0
    if microflows.tried == TRIAL:
        if microflows.found < FEW:
            microflows.rest = microflows.next_rest
            microflows.next_rest = min(2 * microflows.rest, <uint32_t>LONGEST_REST)
        else:
            microflows.next_rest = FIRST_REST
        microflows.tried = microflows.found = 0
    microflows.tried += 1
    return microflows.places != NULL


cdef inline Microflow* free_place(MicroflowCache* microflows, uint64_t hash, uint64_t generation) noexcept nogil:
    """Where to put a new microflow: over an invalid one, else now and then over a valid one; NULL: nowhere."""
    cdef Microflow* first = pair_of(microflows, hash)
    cdef Microflow* second = beside(microflows, first)
    if first.hash == hash or first.generation != generation:
        return first
    if second.hash == hash or second.generation != generation:
        return second
    microflows.turn += 1
    if microflows.turn % 16:
        return NULL
    return second if microflows.turn % 32 else first
