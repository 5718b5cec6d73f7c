"""The live values of one flow definition, the limits that are watched while they change, its flow records."""

cimport cython
from libc.math cimport exp
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from analytics.core.flows.flowkeys cimport KEY_WORDS, MOST_VALUES, KeyPlan
from analytics.core.flows.statistics cimport Observation, State
from analytics.core.seenonce cimport SeenOnce
from analytics.core.table cimport HashTable
from analytics.core.ledger cimport Ledger

cdef enum:
    MOST_FLOWS = 128                                # flow definitions at one time
    MOST_LIMITS = 16                                # thresholds on one flow definition

cdef struct Limit:
    double value, timeout
    double floor                                    # no flow below it counts any more for what is above `value`
    bint by_flow
    uint8_t* accepts                                # per data source, NULL: all
    HashTable clears                                # flow -> Elephant, or data source -> double, see flowcache.pyx

cdef struct Value:                                  # the payload of an entry; Span and State follow, if it has them
    double rate, last

cdef struct Span:                                   # samples that were added up, and when
    double start, last, total
    uint64_t samples                                # 0: of a flow record, none is open

cdef struct Elephant:                               # the payload of `clears` by flow
    double clear
    double peak, first                              # rate; what the first sample added
    Span span

cdef struct KeyId:                                  # the payload of a computed key
    uint32_t number                                 # 0: rejected
    uint16_t names                                  # FlowCache.names when it was computed
    uint16_t unused                                 # sweeps since it was used

cdef enum Kind:                                     # of a notice
    CLEARED                                         # an elephant ended
    CROSSED                                         # a limit
    RECORDED                                        # a flow
    KINDS

cdef struct Notice:                                 # what Python is told
    Kind kind
    void* cache                                     # a FlowCache
    uint32_t limit, source, key_id
    double rate, first                              # the rate when it crossed, or the elephant's peak
    Span span
    uint32_t others                                 # bit per value: it is known
    double values[MOST_VALUES]                      # of the definition, from the second on
    uint64_t key[KEY_WORDS]                         # carried bytes

cdef struct Notices:
    Notice* items
    uint32_t count, capacity
    uint64_t lost[KINDS]


@cython.final                                       # so that its methods are called directly
cdef class FlowCache:
    cdef Ledger ledger
    cdef KeyPlan plan
    cdef HashTable flows                            # (source, key id), carried bytes -> Value
    cdef HashTable key_ids                          # computed (raw) fields -> KeyId
    cdef HashTable uses                             # key id -> how many entries and computed keys have it
    cdef uint32_t* idle                             # key ids that nothing had at some time, in order
    cdef uint32_t idle_count, idle_capacity
    cdef uint16_t names                             # grows when names change: what was computed before is void
    cdef SeenOnce newcomers                         # keys that came to a full table
    cdef Limit limits[MOST_LIMITS]
    cdef uint32_t limit_count, slot, source_capacity, agent_capacity
    cdef double t, gain                             # gain = 1/t
    cdef double fading                              # the same, 0 if values stay as they are when no sample comes
    cdef uint32_t state_at                          # where the State of an entry is, in bytes behind its Value
    cdef double lowest                              # `watch` is called for rates above it: see note_lowest
    cdef bint logs, flow_start
    cdef double active_s
    cdef Notices* notices                           # of the classifier
    cdef double* seen                               # per data source: time of the last sample that counted
    cdef uint32_t* held                             # per agent: entries
    cdef uint64_t refused, displaced
    cdef uint64_t refused_before                    # at the last sweep
    cdef readonly object program

    cdef bint update(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef Value* place(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef bint observe(self, const uint64_t* key, uint64_t hash, const Observation* seen, double now) noexcept nogil
    cdef void note_others(self, const Value* value, Notice* notice) noexcept nogil
    cdef bint enter(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef bint came_before(self, uint64_t hash) noexcept nogil
    cdef uint8_t* displace(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil
    cdef bint release(self, uint64_t* cell) noexcept nogil
    cdef void note_left(self, const uint64_t* key) noexcept nogil
    cdef Notice* notice(self, Kind kind, const uint64_t* key) noexcept nogil
    cdef void log(self, const uint64_t* key, Span* record, double amount, double now) noexcept nogil
    cdef bint end_record(self, const uint64_t* key, Span* record) noexcept nogil
    cdef void end_connection(self, const uint64_t* key, uint64_t hash) noexcept nogil
    cdef bint is_under_way(self, const uint64_t* key, uint64_t hash) noexcept nogil
    cdef void hold(self, uint32_t key_id) noexcept nogil
    cdef void let_go(self, uint32_t key_id) noexcept nogil
    cdef KeyId* computed_key(self, const uint64_t* computed, uint64_t hash) noexcept nogil
    cdef void remember(self, const uint64_t* computed, uint64_t hash, uint32_t key_id) noexcept nogil
    cdef void watch(self, const uint64_t* key, Value* value, double amount, double now) noexcept nogil
    cdef void note_lowest(self) noexcept
    cdef bint reserve(self, uint32_t source) noexcept nogil
    cdef void above(self, uint32_t index, const uint64_t* key, const Value* value, double amount,
                    double now) noexcept nogil
    cdef void note_cleared(self, uint32_t index, const uint64_t* key, const Elephant* elephant) noexcept nogil


cdef inline State* state_of(FlowCache cache, const Value* value) noexcept nogil:
    """What an entry of a definition with statistics keeps beside its value."""
    return <State*>(<uint8_t*>value + cache.state_at)


cdef inline double decay(double x) noexcept nogil:
    """exp(-x). Busy entries are updated often, so x is mostly tiny: five terms are then exact to 3e-11."""
    cdef double square = x * x
    if x < 0.02:
        return (1.0 - x) + square * ((0.5 - x * (1.0 / 6.0)) + square * (1.0 / 24.0))
    return exp(-x)


cdef inline void add_up(FlowCache cache, Value* value, uint32_t source, double amount, double now) noexcept nogil:
    """Add a sample to an entry of a data source."""
    if now > value.last:
        value.rate *= decay((now - value.last) * cache.gain)
        value.last = now
    value.rate += amount * cache.gain
    cache.seen[source] = now
    if value.rate > cache.lowest:
        cache.watch(<uint64_t*>value - cache.flows.words, value, amount, now)
