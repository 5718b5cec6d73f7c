"""Limits on the values of one definition, watched while they change (limits.pyx)."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.flows.entry cimport Span, Value
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.notices cimport Notice, Reporter
from analytics.core.flows.sequential cimport Draw
from analytics.core.ledger cimport Ledger
from analytics.core.table cimport HashTable

cdef enum:
    MOST_LIMITS = 16                                # thresholds on one flow definition

cdef struct Limit:
    double value, timeout
    double floor                                    # no flow below it counts any more for what is above `value`
    bint by_flow
    uint8_t* accepts                                # per data source, NULL: all
    uint32_t accepts_capacity
    HashTable clears                                # flow -> Elephant, or data source -> double
    void* test                                      # a SequentialTest in place of the two above, NULL: none

cdef struct Elephant:                               # the payload of `clears` by flow
    double clear
    double peak, first                              # rate; what the first sample added
    Span span


@cython.final
cdef class Limits:
    cdef Ledger ledger
    cdef double t, fading                           # of the definition
    cdef Limit items[MOST_LIMITS]
    cdef uint32_t count                             # one more than the highest index in use
    cdef double lowest                              # floor; infinite if there is no limit
    cdef Reporter reporter
    cdef list tests                                 # per limit a SequentialTest or None
    cdef uint64_t untested_before                   # by those that are gone

    cdef void draw(self, const uint64_t* key, const Draw* draw, double now) noexcept nogil
    cdef uint32_t free_index(self) except *
    cdef void settle(self, uint32_t index, bint filtered) except *
    cdef uint32_t add_test(self, double value, double timeout, bint filtered, settings, bint of_bytes, KeyIds key_ids,
                           const HashTable* flows) except *
    cdef Notice* above(self, uint32_t index, const uint64_t* key, const Value* value, double amount,
                       double now) noexcept nogil
    cdef void note_cleared(self, uint32_t index, const uint64_t* key, const Elephant* elephant) noexcept nogil
    cdef bint is_under_way(self, const uint64_t* key, uint64_t hash) noexcept nogil
    cdef uint32_t add(self, double value, double timeout, bint by_flow, bint filtered, const HashTable* flows) except *
    cdef void accept(self, uint32_t index, uint32_t source, bint accepted) except *
    cdef void drop(self, uint32_t index) except *
    cdef void note_lowest(self) noexcept
    cdef tuple elephants(self, uint32_t index, uint64_t position, double now, const HashTable* flows)
    cdef uint64_t expire(self, uint32_t index, uint64_t position, double now) noexcept nogil
    cdef void forget_source(self, uint32_t source) noexcept nogil
    cdef void trim(self) noexcept nogil
    cdef uint64_t bytes(self) noexcept nogil
    cdef uint64_t untested(self) noexcept nogil
