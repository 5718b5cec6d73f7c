"""The newest counter records of every data source, as they came; see counterstore.pyx."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.wire.sflow cimport CounterSample

cdef enum:
    MOST_CHANGED = 8192                             # a datagram never holds half as many counter samples

cdef struct Entry:                                  # one record of a data source; two bodies of `capacity` bytes follow
    uint64_t key                                    # its tag, and above that the queue that a 0:1003 is about
    uint32_t capacity                               # a multiple of 8
    uint32_t row                                    # in the table of structures
    uint32_t epoch                                  # of the counters when the newest body came
    uint32_t newest                                 # which of the two
    bint earlier                                    # the other body is of the same epoch
    uint32_t length[2]
    double time[2]

cdef struct Counters:                               # what one data source sends
    uint8_t* entries                                # NULL: nothing is known
    uint32_t used                                   # bytes of them
    uint32_t version                                # grows with every sample, also after all was forgotten
    uint32_t epoch                                  # grows when the agent starts anew
    uint32_t sequence, uptime                       # of the newest sample
    bint changed                                    # it is in CounterStore.changed
    double updated                                  # when the newest sample came, 0.0: never
    double interval                                 # seconds between two samples, 0.0: not known yet


@cython.final
cdef class CounterStore:
    cdef Counters* by_source                        # by data source
    cdef uint32_t capacity                          # of by_source
    cdef uint8_t* watched                           # by row in the table of structures: a threshold needs it
    cdef uint32_t* changed                          # data sources that sent what is watched since `clear_changed`
    cdef uint32_t changed_count
    cdef readonly uint64_t records, bytes, refused
    cdef uint64_t max_bytes

    cdef uint32_t keep(self, uint32_t source, const CounterSample* sample, uint32_t uptime, double now) noexcept nogil
    cdef Counters* counters(self, uint32_t source) noexcept nogil
    cdef Entry* entry(self, Counters* counters, uint64_t key, uint32_t row, uint32_t length,
                      uint32_t* position) noexcept nogil
    cdef bint grow(self, Counters* counters, uint64_t more) noexcept nogil
    cdef void note_changed(self, uint32_t source) noexcept nogil
    cdef void forget(self, Counters* counters) noexcept nogil
    cdef void clear_changed(self) noexcept nogil
