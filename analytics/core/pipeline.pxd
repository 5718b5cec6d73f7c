"""The native journey of a batch of datagrams; receive.pyx enters it without the GIL."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from analytics.core.flows.classifier cimport Classifier
from analytics.core.counterstore cimport CounterStore
from analytics.core.ledger cimport Ledger
from analytics.core.relay cimport Relay
from analytics.core.wire.sflow cimport CounterSample, Datagram, FlowSample

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*) noexcept
    int pthread_mutex_destroy(pthread_mutex_t*) noexcept
    int pthread_mutex_lock(pthread_mutex_t*) noexcept
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept

cdef struct Slice:                                  # one datagram
    const uint8_t* at
    size_t length
    const uint8_t* sender                           # 16 bytes, or NULL

cdef struct DeferredMetrics:                        # an rtmetric sample; its data source is in the body
    uint32_t agent, uptime, offset, length


@cython.final                                       # so that its methods are called directly
cdef class Pipeline:
    cdef pthread_mutex_t turnstile, mutex
    cdef readonly Ledger ledger
    cdef readonly CounterStore counters
    cdef readonly Classifier classifier
    cdef readonly Relay relay
    cdef DeferredMetrics* rtmetrics
    cdef uint32_t rtmetric_count
    cdef uint8_t* text                              # the bodies of deferred rtmetric samples
    cdef uint32_t text_used
    cdef uint8_t* upgraded                          # an older datagram, as version 5
    cdef uint64_t bytes, datagrams, not_sflow, other_version, overflow
    cdef object listener
    cdef object failure

    cdef void acquire(self) noexcept nogil
    cdef void release(self) noexcept nogil
    cdef void take(self, const Slice* slices, uint32_t count, double now) noexcept nogil
    cdef void find_agents(self, const Slice* slices, uint32_t count, uint32_t* agents) noexcept nogil
    cdef void batch(self, const Slice* slices, uint32_t count, double now) noexcept nogil
    cdef void datagram(self, const Slice* slice, double now) noexcept nogil
    cdef void flow(self, uint32_t agent, const Datagram* head, const FlowSample* sample, uint16_t epoch,
                   double now) noexcept nogil
    cdef void defer_rtmetric(self, uint32_t agent, const Datagram* head, const CounterSample* sample) noexcept nogil
    cdef void count(self, uint32_t agent, const Datagram* head, const CounterSample* sample, uint16_t epoch,
                    double now) noexcept nogil
    cdef void settle(self, double now) noexcept
    cdef int settle_sources(self, double now) except -1
    cdef int announce_sources(self) except -1
    cdef int settle_rtmetric(self, uint32_t agent, uint32_t uptime, bytes body, double now) except -1
