"""The native journey of a batch of datagrams; receive.pyx enters it without the GIL."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.counterstore cimport CounterStore
from analytics.core.flowcache cimport FlowCache, Fires
from analytics.core.ledger cimport Ledger
from analytics.core.packet cimport Fields
from analytics.core.shortcuts cimport Due, Shortcut, Shortcuts
from analytics.core.sflow cimport CounterSample, Datagram, FlowSample
from analytics.core.table cimport Table

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*) noexcept
    int pthread_mutex_destroy(pthread_mutex_t*) noexcept
    int pthread_mutex_lock(pthread_mutex_t*) noexcept
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept

cdef enum:
    MOST_FLOWS = 128                                # flow definitions at one time

cdef struct Slice:                                  # one datagram
    const uint8_t* at
    size_t length
    const uint8_t* sender                           # 16 bytes, or NULL

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
    uint64_t signature[45]
    double amounts[8]

cdef struct Pending:                                # a sample whose judged key nobody has judged yet
    uint32_t slot, source, agent
    double amount
    uint64_t judged[32]
    uint64_t carried[32]

cdef struct PendingMetrics:                         # an rtmetric sample; its data source stands in the body
    uint32_t agent, uptime, offset, length

@cython.final                                       # so that its methods are called directly
cdef class Pipeline:
    cdef pthread_mutex_t turnstile, mutex
    cdef readonly Ledger ledger
    cdef readonly CounterStore counters
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
    cdef PendingMetrics* rtmetrics
    cdef uint32_t rtmetric_count
    cdef uint8_t* text                              # the bodies of pending rtmetric samples
    cdef uint32_t text_used
    cdef uint32_t introduced                        # data sources that Python knows
    cdef uint64_t bytes, datagrams, not_sflow, other_version, overflow, seed
    cdef uint64_t present[4]                        # header slots seen since the last settling
    cdef UnderWay samples[4]
    cdef uint32_t sample_head, sample_tail          # running numbers of the next sample and of the oldest under way
    cdef object shell
    cdef object failure

    cdef void acquire(self) noexcept nogil
    cdef void release(self) noexcept nogil
    cdef void batch(self, const Slice* slices, uint32_t count, double now) noexcept nogil
    cdef void place(self)
    cdef void datagram(self, const Slice* slice, double now) noexcept nogil
    cdef void flow(self, uint32_t agent, const Datagram* head, const FlowSample* sample, uint32_t era,
                   double now) noexcept nogil
    cdef void note_moves(self) noexcept nogil
    cdef void sign(self, UnderWay* it) noexcept nogil
    cdef void classify(self, UnderWay* it, double now) noexcept nogil
    cdef void pay(self, double now) noexcept nogil
    cdef void lay_shortcut(self, const UnderWay* it, const Fate* fates, double now) noexcept nogil
    cdef Fate key(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil
    cdef void unstage(self, double now) noexcept nogil
    cdef void finish(self, double now) noexcept nogil
    cdef void set_aside(self, FlowCache cache, uint32_t agent, uint32_t source, double amount, const uint64_t* judged,
                        const uint64_t* carried) noexcept nogil
    cdef void set_rtmetric_aside(self, uint32_t agent, const Datagram* head,
                                 const CounterSample* sample) noexcept nogil
    cdef void count(self, uint32_t agent, const Datagram* head, const CounterSample* sample, uint32_t era,
                    double now) noexcept nogil
    cdef void settle(self, double now) noexcept
    cdef int settle_sources(self, double now) except -1
    cdef int meet_sources(self) except -1
    cdef int settle_pending(self, double now) except -1
    cdef int settle_fires(self) except -1
