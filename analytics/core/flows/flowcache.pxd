"""The live values of one flow definition (flowcache.pyx)."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.flows.entry cimport Value, decay
from analytics.core.flows.flowkeys cimport KeyPlan
from analytics.core.flows.flowrecords cimport Logging
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.limits cimport Limits
from analytics.core.flows.lost cimport Lost
from analytics.core.flows.notices cimport Notice, Notices, Reporter
from analytics.core.flows.statistics cimport Observation, State
from analytics.core.ledger cimport Ledger
from analytics.core.table cimport HashTable

cdef enum:
    MOST_FLOWS = 128                                # flow definitions at one time


@cython.final                                       # so that its methods are called directly
cdef class FlowCache:
    cdef Ledger ledger
    cdef KeyPlan plan
    cdef HashTable flows                            # (source, key id), carried bytes -> Value
    cdef readonly KeyIds key_ids
    cdef Limits limits
    cdef Logging logging
    cdef Reporter reporter
    cdef Lost losses
    cdef uint32_t slot, source_capacity, agent_capacity
    cdef double t, gain                             # gain = 1/t
    cdef double fading                              # the same, 0 if values stay as they are when no sample comes
    cdef uint32_t state_at                          # where the State of an entry is, in bytes behind its Value
    cdef double lowest                              # `watch` is called for rates above it: none if all are logged
    cdef double* seen                               # per data source: time of the last sample that counted
    cdef uint32_t* held                             # per agent: entries
    cdef uint64_t refused, displaced
    cdef readonly object program

    cdef void report_to(self, Notices* notices) noexcept
    cdef bint update(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef Value* place(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef bint observe(self, const uint64_t* key, uint64_t hash, const Observation* seen, double now) noexcept nogil
    cdef bint enter(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef void refuse(self, double amount, double now) noexcept nogil
    cdef void refuse_observation(self, const Observation* seen, double now) noexcept nogil
    cdef uint8_t* displace(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef void lose_rest(self, const uint64_t* cell, double now) noexcept nogil
    cdef bint release(self, uint64_t* cell) noexcept nogil
    cdef void note_left(self, const uint64_t* key) noexcept nogil
    cdef void end_connection(self, const uint64_t* key, uint64_t hash) noexcept nogil
    cdef void watch(self, const uint64_t* key, Value* value, double amount, double now) noexcept nogil
    cdef void note_others(self, const Value* value, Notice* notice) noexcept nogil
    cdef void note_lowest(self) noexcept
    cdef bint reserve(self, uint32_t source) noexcept nogil


cdef inline State* state_of(FlowCache cache, const Value* value) noexcept nogil:
    """What an entry of a definition with statistics keeps beside its value."""
    return <State*>(<uint8_t*>value + cache.state_at)


cdef inline void add_up(FlowCache cache, Value* value, uint32_t source, double amount, double now) noexcept nogil:
    """Add a sample to an entry of a data source."""
    if now > value.last:
        value.rate *= decay((now - value.last) * cache.gain)
        value.last = now
    value.rate += amount * cache.gain
    cache.seen[source] = now
    if value.rate > cache.lowest:
        cache.watch(<uint64_t*>value - cache.flows.words, value, amount, now)
