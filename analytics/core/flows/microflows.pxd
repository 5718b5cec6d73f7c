"""Samples alike go straight to the entries they count for: a cache in front of the definitions.

The *microflow key* of a sample is its data source and the bytes of every field that any definition reads for a key or
a filter; samples of one microflow key count for the same entries. The first of them sets a tag in the seen-once filter,
the second goes through the definitions once more and makes a microflow, which has the addresses of its entries; all
others are added up there at once. (Open vSwitch puts its microflow cache in front of its classifier for the same
reason.) So a flow goes through the definitions twice, and flows that are sampled once replace no microflow.

A microflow is known by a hash of its key, of 64 bits that senders cannot foresee: the key itself would be most of it,
and among a million of them one in 18 million million new flows is taken for another. It takes 32 bytes and 8 for each
definition, and there are as many as flows that are sampled again and again, up to a bound. So memory grows a
hundredfold with a hundredfold of flows, and nearly so with definitions; a sample's time grows by the memory's latency
with flows, and by about 10 ns with each definition that it counts for, as against 130 ns in that definition itself.
Microflows that no sample finds for some sweeps go. Where few samples find one, looking them up is lost work, the more
so the fewer definitions there are: then the cache rests.

Entries move while others come and go. A microflow has the sum of its entries' hashes: where that is still what stands
at its addresses they are still its entries, wherever others went. This is looked at again only when the tables say that
something has moved. When memory of entries is given back, or key ids may mean something else, an *era* ends, and with
it every microflow. A header that is cut before the end of the wanted fields gives no microflow key: its samples go
through the definitions.
"""

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport MOST_FLOWS
from analytics.core.flows.flowkeys cimport Pick, field_at, narrow
from analytics.core.dissect.packet cimport SLOT_WORDS, SLOTS, Fields
from analytics.core.seenonce cimport SeenOnce
from analytics.core.table cimport HashTable, cell_near, digest_of, fetch

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
    MOST_TAGS = 1 << 22                             # of the seen-once filter
    TAG_SHARE = 32                                  # one for so many bytes
    TRIAL = 1 << 18                                 # samples for each definition: as long as it takes to know them
    FEW = 1 << 16                                   # so many of them must find a microflow, or the cache rests
    FIRST_REST = 1 << 22                            # for so many samples, then twice as many ...
    LONGEST_REST = 1 << 24
    NEAR_BY = 4                                     # microflows that one of is replaced when there are too many
    UNUSED_SWEEPS = 2                               # after so many a microflow goes
    MOST_LOADS = 64                                 # masked loads of a sample
    MOST_KEY_WORDS = 1 + SLOT_WORDS + MOST_LOADS    # of a microflow key: data source, presence of slots, loads
    LINE = 64                                       # bytes of a cache line
    MOST_AMOUNTS = 8                                # different fields that definitions add up, and 1 for frames

cdef struct MaskedLoad:                             # up to eight wanted bytes of a header
    int16_t offset                                  # of the eight bytes that end with them
    uint16_t before                                 # bits of those that are not wanted

cdef struct HeaderLoads:                            # all that is wanted of a header
    uint8_t first, count                            # masked loads
    uint16_t extent                                 # where the last one ends

cdef struct Microflow:                              # the payload of a cell that has no key but its hash
    uint64_t total                                  # of the hashes of its entries
    uint64_t generation                             # of the tables, when these were last looked at
    uint32_t era                                    # 0: it is void
    uint32_t unused                                 # sweeps since it was used
    Value* entries[1]                               # of so many definitions, NULL: not counted

cdef struct MicroflowCache:
    MaskedLoad loads[MOST_LOADS]
    HeaderLoads of_slot[SLOTS]
    uint64_t slots[SLOT_WORDS]                      # bit per slot of which something is wanted
    Pick amounts[MOST_AMOUNTS]                      # from 1 on
    uint32_t amount_count
    uint8_t amount_of[MOST_FLOWS]                   # per definition
    bint keeps                                      # 0: the definitions read too much, or there are none
    uint32_t trial                                  # samples
    uint32_t tried, found                           # samples of this trial, those that found a microflow
    uint32_t rest, next_rest                        # samples not looked up from now on; as many after the next trial
    uint32_t turn                                   # counts new microflows: now and then one replaces another in use
    HashTable table
    SeenOnce seen_once

cdef bint microflows_open(MicroflowCache* microflows, list caches, uint64_t seed, uint64_t max_bytes) except -1
cdef void microflows_close(MicroflowCache* microflows) noexcept nogil
cdef Microflow* microflow_place(MicroflowCache* microflows, uint64_t hash, uint32_t era) noexcept nogil
cdef uint64_t microflows_sweep(MicroflowCache* microflows, uint64_t position) noexcept nogil


cdef inline uint64_t hash_of(const MicroflowCache* microflows, const Fields* fields, uint32_t source) noexcept nogil:
    """The hash of a sample's microflow key; 0 when it has none.

    Only headers that are there have words: which ones are is part of the key. Every load reads eight bytes, at worst
    the last ones before its header: what a slot points at is never at the start of a block of memory.
    """
    cdef uint64_t[MOST_KEY_WORDS] key
    cdef uint32_t word, i, count = 1
    cdef uint64_t slots
    cdef const HeaderLoads* wanted
    cdef const MaskedLoad* load
    cdef const uint8_t* at
    cdef uint32_t slot
    cdef uint64_t eight
    key[0] = source
    for word in range(SLOT_WORDS):
        if microflows.slots[word] == 0:
            continue
        slots = fields.present[word] & microflows.slots[word]
        key[count] = slots
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
                key[count] = tail(eight, load[i].before)
                count += 1
    return digest_of(microflows.table.seed, key, count)


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


cdef inline void fetch_place(const MicroflowCache* microflows, uint64_t hash) noexcept nogil:
    """Ask the memory for where a microflow would be, some time before it is looked up."""
    cdef uint8_t* cell = <uint8_t*>cell_near(&microflows.table, hash, 0)
    cdef uint32_t at = 0
    while at < microflows.table.stride:
        fetch(cell + at, 0)
        at += LINE
    fetch(cell + microflows.table.stride, 0)        # its neighbour: at worst a line that nobody reads


cdef inline bint is_worth_it(MicroflowCache* microflows) noexcept nogil:
    """Whether to look up microflows at all."""
    if microflows.rest:
        microflows.rest -= 1
        return 0
    if microflows.tried == microflows.trial:
        if microflows.found < FEW:
            microflows.rest = microflows.next_rest
            microflows.next_rest = min(2 * microflows.rest, <uint32_t>LONGEST_REST)
        else:
            microflows.next_rest = FIRST_REST
        microflows.tried = microflows.found = 0
    microflows.tried += 1
    return microflows.keeps
