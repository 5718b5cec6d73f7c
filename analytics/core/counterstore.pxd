"""The newest counter records of every data source, as they came; see counterstore.pyx."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.wire.sflow cimport CounterSample

cdef enum:
    TOLD_ROOM = 8192                                # a datagram has no room for half as many counter samples

cdef struct Entry:                                  # one record of a data source; two bodies of `room` bytes follow
    uint64_t key                                    # its tag, and above that the queue that a 0:1003 is about
    uint32_t room                                   # a multiple of 8
    uint32_t row                                    # in the table of structures
    uint32_t life                                   # of the sheet when the newest body came
    uint32_t newest                                 # which of the two
    bint earlier                                    # the other body is of the same life
    uint32_t length[2]
    double time[2]

cdef struct Sheet:                                  # what one data source sends
    uint8_t* entries                                # NULL: nothing is known
    uint32_t used                                   # bytes of them
    uint32_t version                                # grows with every sample, also after all was forgotten
    uint32_t life                                   # grows when the agent starts anew
    uint32_t sequence, uptime                       # of the newest sample
    bint told                                       # it stands in CounterStore.told
    double updated                                  # when the newest sample came, 0.0: never
    double interval                                 # seconds between two samples, 0.0: not known yet

@cython.final
cdef class CounterStore:
    cdef Sheet* sheets                              # by data source
    cdef uint32_t room                              # sheets there are
    cdef uint8_t* watched                           # by row in the table of structures: somebody waits for it
    cdef uint32_t* told                             # data sources that sent what is watched since `all_told`
    cdef uint32_t told_count
    cdef readonly uint64_t records, bytes, refused
    cdef uint64_t most

    cdef uint32_t keep(self, uint32_t source, const CounterSample* sample, uint32_t uptime, double now) noexcept nogil
    cdef Sheet* sheet(self, uint32_t source) noexcept nogil
    cdef Entry* entry(self, Sheet* sheet, uint64_t key, uint32_t row, uint32_t length, uint32_t* place) noexcept nogil
    cdef bint grow(self, Sheet* sheet, uint64_t more) noexcept nogil
    cdef void tell(self, uint32_t source) noexcept nogil
    cdef void forget(self, Sheet* sheet) noexcept nogil
    cdef void all_told(self) noexcept nogil
