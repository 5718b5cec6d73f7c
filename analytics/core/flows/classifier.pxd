"""From samples to the entries they count for; pipeline.pyx enters it without the GIL."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from analytics.core.flows.flowcache cimport FlowCache, Fires
from analytics.core.dissect.packet cimport Fields
from analytics.core.flows.microflows cimport Due, Shortcuts
from analytics.core.flows.table cimport Table

cdef enum:
    MOST_FLOWS = 128                                # flow definitions at one time

cdef enum Fate:                                     # what a definition makes of a sample
    REJECTED                                        # as of every sample with the same signature
    STAGED
    UNSURE                                          # this sample does not count, or not yet

cdef struct Staged:                                 # an update whose cell is on its way from memory
    void* cache                                     # a FlowCache, and its table
    const Table* flows
    uint64_t hash
    double amount
    uint64_t key[33]

cdef struct UnderWay:                               # a sample whose shortcut is on its way from memory
    Fields fields
    uint32_t agent, source, rate
    uint32_t signed                                 # words of its signature, 0: it has none
    uint64_t hash
    uint64_t signature[69]
    double amounts[8]

cdef struct Pending:                                # a sample whose judged key nobody has judged yet
    uint32_t slot, source, agent
    double amount
    uint64_t judged[32]
    uint64_t carried[32]

@cython.final                                       # so that its methods are called directly
cdef class Classifier:
    cdef list caches
    cdef void* slots[128]                           # FlowCache per slot, borrowed from `caches`
    cdef uint32_t slot_count
    cdef void* fed[2][128]                          # those of `slots` that take samples, that take discards
    cdef uint32_t fed_count[2]
    cdef Shortcuts shortcuts                        # of the definitions that take samples
    cdef Due due
    cdef uint64_t moved                             # the sum of their tables' moves
    cdef Fires fires
    cdef Staged staged[32]
    cdef uint32_t staged_head, staged_next, staged_tail   # running numbers; the place is the number modulo 32
                                                    # tail: oldest, next: the first without a digest, head: free
    cdef Pending* pending
    cdef uint32_t pending_count
    cdef uint32_t introduced                        # data sources that Python knows
    cdef uint64_t present[4]                        # header slots seen since the last settling
    cdef UnderWay samples[4]
    cdef uint32_t sample_head, sample_tail          # running numbers of the next sample and of the oldest under way
    cdef uint64_t seed
    cdef uint64_t by_shortcut                       # samples, ever

    cdef void place(self)
    cdef bint is_half_full(self) noexcept nogil
    cdef UnderWay* vacant(self) noexcept nogil
    cdef void take(self, UnderWay* it, double now) noexcept nogil
    cdef void take_discard(self, UnderWay* it, double now) noexcept nogil
    cdef void note_moves(self) noexcept nogil
    cdef void sign(self, UnderWay* it) noexcept nogil
    cdef void classify(self, double now) noexcept nogil
    cdef void pay(self, double now) noexcept nogil
    cdef void lay_shortcut(self, const UnderWay* it, const Fate* fates, double now) noexcept nogil
    cdef Fate key(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil
    cdef void unstage(self, double now) noexcept nogil
    cdef void finish(self, double now) noexcept nogil
    cdef void set_aside(self, FlowCache cache, uint32_t agent, uint32_t source, double amount, const uint64_t* judged,
                        const uint64_t* carried) noexcept nogil
    cdef int settle(self, shell, double now) except -1
    cdef int settle_pending(self, shell, double now) except -1
    cdef int settle_fires(self, shell) except -1
