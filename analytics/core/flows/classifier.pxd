"""From samples to the entries they count for; pipeline.pyx enters it without the GIL."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from analytics.core.dissect.packet cimport SLOT_WORDS, Fields
from analytics.core.flows.flowcache cimport MOST_FLOWS, FlowCache
from analytics.core.flows.flowkeys cimport KEY_WORDS
from analytics.core.flows.microflows cimport MOST_AMOUNTS, Microflow, MicroflowCache
from analytics.core.flows.notices cimport Notice, Notices
from analytics.core.flows.sequential cimport Draw
from analytics.core.flows.statistics cimport Observation
from analytics.core.ledger cimport Ledger
from analytics.core.table cimport HashTable

cdef enum:
    UNDER_WAY = 4                                   # samples whose microflow, and then its entries, are awaited:
    AWAITED = 2                                     # so many of them its entries
    STAGES = 32                                     # updates under way: enough to hide the memory's latency
    LAG = 4                                         # keys whose bytes are still being stored: too early to read them

cdef enum:                                          # feeds: which definitions take a sample, and how
    SAMPLED                                         # samples, added up, also by microflow
    OBSERVED                                        # samples, with statistics
    TESTED                                          # samples, added up, and each of them tested
    DISCARDED                                       # discards, added up
    DISCARDS_OBSERVED
    FEEDS

cdef enum Fate:                                     # what a definition makes of a sample
    REJECTED                                        # as of every sample with the same microflow key
    STAGED
    UNSURE                                          # this sample does not count, or not yet

cdef struct Staged:                                 # an update whose cell is on its way from memory
    void* cache                                     # a FlowCache, and its table
    const HashTable* flows
    uint64_t hash
    double amount
    uint64_t key[1 + KEY_WORDS]

cdef struct UnderWay:                               # a sample whose microflow is on its way from memory
    Fields fields
    uint32_t agent, serial, source, rate
    bint announced                                  # Python knows the data source
    uint64_t hash                                   # of its microflow key, 0: it has none
    Microflow* microflow                            # NULL: none
    uint64_t found                                  # generation of the microflows' table, when it was there
    double amounts[MOST_AMOUNTS]

cdef struct Deferred:                               # a sample whose computed key has no key id yet
    uint32_t slot, source, agent
    bint is_last                                    # of its TCP connection
    double amount
    Observation seen                                # in place of the amount, if the definition has statistics
    Draw draw                                       # beside the amount, if it has tests
    uint64_t computed[KEY_WORDS]
    uint64_t carried[KEY_WORDS]


@cython.final                                       # so that its methods are called directly
cdef class Classifier:
    cdef list caches
    cdef void* slots[MOST_FLOWS]                    # FlowCache per slot, borrowed from `caches`
    cdef uint32_t slot_count
    cdef void* fed[FEEDS][MOST_FLOWS]               # those of `slots` that take samples, discards, ...
    cdef uint32_t fed_count[FEEDS]
    cdef MicroflowCache microflows                  # of the definitions that take samples
    cdef uint64_t max_microflow_bytes
    cdef uint64_t reused                            # how often data sources got the indexes of others
    cdef uint64_t names                             # the sum of that and of the generations of key ids
    cdef uint64_t generation                        # the sum of those of the tables of entries
    cdef uint32_t era                               # of microflows: see microflows.pxd
    cdef uint64_t released                          # the sum of how often those tables gave memory back
    cdef Notices notices
    cdef Staged staged[STAGES]
    cdef uint32_t staged_head                       # running numbers, modulo STAGES the index: of the next free one,
    cdef uint32_t staged_next                       # of the first without a digest,
    cdef uint32_t staged_tail                       # of the oldest
    cdef Deferred* deferred
    cdef uint32_t deferred_count
    cdef uint32_t computed                          # keys that Python computed since `allow`
    cdef Ledger ledger
    cdef uint64_t present[SLOT_WORDS]               # header slots seen since `headers_seen` was last asked
    cdef UnderWay samples[UNDER_WAY]
    cdef uint32_t sample_head, sample_next          # running numbers of the next sample, of the first whose entries
    cdef uint32_t sample_tail                       # are not awaited yet, of the oldest under way
    cdef uint64_t seed
    cdef uint64_t by_microflow                      # samples, ever

    cdef bint is_half_full(self) noexcept nogil
    cdef UnderWay* free_slot(self) noexcept nogil
    cdef void take(self, UnderWay* it, double now) noexcept nogil
    cdef void take_discard(self, UnderWay* it, double now) noexcept nogil
    cdef void notice_moves(self) noexcept nogil
    cdef void notice_names(self) noexcept nogil
    cdef void begin(self) noexcept nogil
    cdef void fetch_entries(self) noexcept nogil
    cdef void classify(self, double now) noexcept nogil
    cdef void look_up(self, UnderWay* it) noexcept nogil
    cdef bint is_whole(self, Microflow* microflow) noexcept nogil
    cdef void learn(self, const UnderWay* it, const Fate* fates, double now) noexcept nogil
    cdef Fate stage(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil
    cdef void observe(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil
    cdef void examine(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil
    cdef void flush(self, double now) noexcept nogil
    cdef void finish(self, double now) noexcept nogil
    cdef Deferred* defer(self, FlowCache cache, const UnderWay* it, uint32_t source, const uint64_t* computed,
                         const uint64_t* carried) noexcept nogil
    cdef int settle(self, listener, double now) except -1
    cdef object evidence_of(self, const Notice* it)
    cdef tuple others_of(self, FlowCache cache, const Notice* it)
    cdef void refuse(self, FlowCache cache, const Deferred* item, double now) noexcept nogil
    cdef bint may_compute(self, FlowCache cache, uint64_t hash, uint32_t of_this_batch) noexcept nogil
    cdef int settle_deferred(self, listener, double now) except -1
