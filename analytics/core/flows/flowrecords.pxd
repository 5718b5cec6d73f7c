"""Flow records: the samples of an entry, added up from the first one to the last (flowrecords.pyx)."""

from libc.stdint cimport uint64_t

from analytics.core.flows.entry cimport Span
from analytics.core.flows.notices cimport Reporter

cdef struct Logging:                                # what a definition says about its records
    bint on
    bint flow_start                                 # tell them when they begin, not when they end
    double active_s

cdef void log_sample(const Logging* logging, const Reporter* reporter, const uint64_t* key, Span* record,
                     double amount, double now) noexcept nogil
cdef bint end_record(const Logging* logging, const Reporter* reporter, const uint64_t* key, Span* record) noexcept nogil
cdef bint is_due(const Logging* logging, const Span* record, double now) noexcept nogil
