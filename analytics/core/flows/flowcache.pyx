"""Accumulate, decay and watch the flows of one definition.

The value of an entry is a rate: it decays by exp(-dt/t), and a sample of x bytes at 1-in-N adds x*N/t, so a steady
flow settles at its true rate and a flow that starts reaches 63 % of it after t (sflow-rt-api.md 2.2). An entry is
only touched by its own samples; reading decays to the asked time, and `expire` drops what has been idle for long.

Limits are checked in the same update, with one number per (limit, entry), or per (limit, data source) when not by
flow: `clear`, the time at which the value falls below the limit if no further sample comes: now + t*ln(value/limit).
A sample that finds the value above the limit after `clear + timeout` has found it armed, which means it stayed below
for `timeout` seconds: the limit is crossed. No scan, no timer, no state machine. By data source, `clear` is the latest
of its flows.
"""

from libc.math cimport INFINITY, exp, log
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from analytics.core.flows.flowkeys cimport KEY_WORDS, compile_plan
from analytics.core.flows.table cimport (
    HashTable, cell_at, digest, find, insert, remove, resize_payload, table_clear, table_close, table_open,
)

cdef double IDLE_CONSTANTS = 12.0                   # an entry idle for 12 t holds less than 1e-5 of its value
cdef double CROWDED_CONSTANTS = 3.0                 # above 7/8 of the bound, entries go after 3 t
cdef double SHORTEST_IDLE_S = 2.0
cdef enum:
    MOST_KEY_IDS = 1 << 18                          # computed keys remembered per definition; then all are forgotten
    SWEEP_CELLS = 1 << 15                           # cells expired per turn of the lock


cdef struct Candidate:
    double rate
    uint64_t slot


cdef class FlowCache:
    """`program`: a compiled definition, of at most `max_entries` entries. Callers hold the pipeline's lock."""

    def __cinit__(self, program, uint64_t max_entries, uint64_t seed):
        self.program = program
        self.t = program.t
        self.gain = 1.0 / self.t
        self.lowest = INFINITY
        compile_plan(&self.plan, program)
        if not (table_open(&self.key_ids, self.plan.computed_words, 8, MOST_KEY_IDS, seed)
                and table_open(&self.flows, 1 + self.plan.carried_words, sizeof(Value), max_entries, seed)):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i
        table_close(&self.key_ids)
        table_close(&self.flows)
        free(self.seen)
        for i in range(self.limit_count):
            free(self.limits[i].accepts)
            free(self.limits[i].clear)

    cdef bint reserve(self, uint32_t sources) noexcept nogil:
        """Have capacity for data sources 0..sources-1 in everything kept per data source; 0 when memory is short."""
        cdef uint32_t capacity = self.source_capacity
        cdef uint32_t i
        cdef void* grown
        if sources <= capacity:
            return 1
        while capacity < sources:
            capacity = capacity * 2 + 64
        grown = realloc(self.seen, capacity * sizeof(double))
        if grown == NULL:
            return 0
        self.seen = <double*>grown
        memset(self.seen + self.source_capacity, 0, (capacity - self.source_capacity) * sizeof(double))
        for i in range(self.limit_count):
            if not reserve_limit(&self.limits[i], self.source_capacity, capacity):
                return 0
        self.source_capacity = capacity
        return 1

    cdef bint update(self, const uint64_t* key, uint64_t hash, double amount, double now,
                     Crossings* crossings) noexcept nogil:
        """Add a sample to the entry `key`, given its digest; word 0 is source | key id << 32, then carried bytes.

        What is rare is done by others, called last, so that the common case needs few registers.
        """
        cdef uint32_t source = <uint32_t>key[0]
        cdef Value* value = <Value*>find(&self.flows, key, hash)
        if value == NULL or source >= self.source_capacity:
            return self.enter(key, hash, amount, now, crossings)
        add_up(self, value, source, amount, now, crossings)
        return 1

    cdef bint enter(self, const uint64_t* key, uint64_t hash, double amount, double now,
                    Crossings* crossings) noexcept nogil:
        """The same for an entry, or a data source, that is not there yet; 0 when its table is full."""
        cdef uint32_t i
        cdef uint8_t* payload
        if not self.reserve(<uint32_t>key[0] + 1):
            return 0
        if find(&self.flows, key, hash) == NULL:
            payload = insert(&self.flows, key, hash)
            if payload == NULL:
                self.refused += 1
                return 0
            (<Value*>payload).last = now
            for i in range(self.limit_count):
                (<double*>(payload + sizeof(Value)))[i] = -INFINITY
        return self.update(key, hash, amount, now, crossings)

    cdef void watch(self, const uint64_t* key, const Value* value, double now, Crossings* crossings) noexcept nogil:
        """Check the limits of an entry that has just changed; `clear` times follow its value."""
        cdef uint32_t i
        for i in range(self.limit_count):
            if value.rate > self.limits[i].value:
                self.above(i, key, value, <double*>(value + 1), now, crossings)

    cdef void above(self, uint32_t index, const uint64_t* key, const Value* value, double* clears, double now,
                    Crossings* crossings) noexcept nogil:
        """The value is above limit `index`: it is crossed if it was armed; note when it will have cleared."""
        cdef Limit* limit = &self.limits[index]
        cdef uint32_t source = <uint32_t>key[0]
        cdef double* clear
        cdef double falls
        cdef Crossing* crossing
        if limit.accepts != NULL and not limit.accepts[source]:
            return
        clear = &clears[index] if limit.by_flow else &limit.clear[source]
        if now >= clear[0] + limit.timeout:
            if crossings.count < crossings.capacity:
                crossing = &crossings.items[crossings.count]
                crossing.slot, crossing.limit, crossing.source = self.slot, index, source
                crossing.key_id, crossing.value, crossing.now = <uint32_t>(key[0] >> 32), value.rate, now
                memcpy(crossing.key, key + 1, 8 * self.plan.carried_words)
                crossings.count += 1
            else:
                crossings.lost += 1
        falls = INFINITY if limit.value <= 0 else value.last + self.t * log(value.rate / limit.value)
        if falls > clear[0]:
            clear[0] = falls

    def add_limit(self, double value, double timeout, bint by_flow, bint filtered) -> int:
        """Watch a limit, which rates above it cross; answers its index.

        `filtered`: only data sources given to `accept` count.
        OverflowError: there are MOST_LIMITS already.
        """
        cdef uint32_t index = 0
        cdef uint64_t slot
        cdef Limit limit = Limit(value, timeout, by_flow, NULL, NULL)
        while index < self.limit_count and self.limits[index].value != INFINITY:
            index += 1
        if index == MOST_LIMITS:
            raise OverflowError(f"more than {MOST_LIMITS} thresholds on one flow")
        if filtered:
            limit.accepts = <uint8_t*>calloc(self.source_capacity + 1, 1)
        if not by_flow:
            limit.clear = <double*>malloc((self.source_capacity + 1) * sizeof(double))
            for slot in range(self.source_capacity):
                limit.clear[slot] = -INFINITY
        if index == self.limit_count:
            if not resize_payload(&self.flows, sizeof(Value) + 8 * (index + 1)):
                raise MemoryError
            self.limit_count += 1
        for slot in range(self.flows.mask + 1):
            if cell_at(&self.flows, slot)[0]:
                clears_of(&self.flows, slot)[index] = -INFINITY
        self.limits[index] = limit
        self.note_lowest()
        return index

    def accept(self, uint32_t limit, uint32_t source, bint accepted) -> None:
        """Say whether a data source passes the filter of a limit."""
        if not self.reserve(source + 1):
            raise MemoryError
        if limit >= self.limit_count or self.limits[limit].accepts == NULL:
            raise IndexError(f"limit {limit} has no filter")
        self.limits[limit].accepts[source] = accepted

    def drop_limit(self, uint32_t index) -> None:
        """Stop watching a limit; its index may be given to another."""
        if index >= self.limit_count:
            raise IndexError(f"no limit {index}")
        free(self.limits[index].accepts)
        free(self.limits[index].clear)
        self.limits[index] = Limit(INFINITY, 0.0, 1, NULL, NULL)
        self.note_lowest()

    cdef void note_lowest(self) noexcept:
        cdef uint32_t i
        self.lowest = INFINITY
        for i in range(self.limit_count):
            self.lowest = min(self.lowest, self.limits[i].value)

    def forget_key_ids(self) -> None:
        """Names have changed (topology): compute every key anew."""
        table_clear(&self.key_ids)

    def remember(self, bytes computed, uint32_t key_id) -> None:
        """Store the key id of computed (raw) fields; 0 is a rejection."""
        cdef uint64_t[KEY_WORDS] key
        cdef uint8_t* payload
        cdef uint64_t hash
        if len(computed) != 8 * self.plan.computed_words:
            raise ValueError("computed bytes of another definition")
        memcpy(key, <const char*>computed, 8 * self.plan.computed_words)
        if self.key_ids.used >= self.key_ids.capacity:
            table_clear(&self.key_ids)
        hash = digest(&self.key_ids, key)
        payload = find(&self.key_ids, key, hash)
        if payload == NULL:
            payload = insert(&self.key_ids, key, hash)
        if payload == NULL:
            raise MemoryError
        (<uint32_t*>payload)[0] = key_id

    def key_ids_in_use(self) -> set[int]:
        """The key ids that live entries have."""
        cdef uint64_t slot
        found = set()
        for slot in range(self.flows.mask + 1):
            if cell_at(&self.flows, slot)[0]:
                found.add(cell_at(&self.flows, slot)[1] >> 32)
        return found

    def top(self, const uint8_t[::1] wanted, uint32_t max_flows, double minimum, double now) -> list:
        """The largest flows of each wanted data source (wanted[source] != 0), at most `max_flows` each, in no order.

        Answers [(source, key id, carried bytes, rate)], rates decayed to `now`, none below `minimum`.
        """
        cdef uint32_t sources = min(<uint32_t>wanted.shape[0], self.source_capacity)
        cdef uint64_t* starts = <uint64_t*>calloc(sources + 1, sizeof(uint64_t))
        cdef uint32_t* sizes = <uint32_t*>calloc(sources + 1, sizeof(uint32_t))
        cdef Candidate* heaps = NULL
        cdef uint64_t total = 0, i
        cdef uint32_t source
        cdef uint64_t* cell
        try:
            if starts == NULL or sizes == NULL:
                raise MemoryError
            if sources == 0 or max_flows == 0:
                return []
            with nogil:
                count_flows(&self.flows, &wanted[0], sources, starts)
                for source in range(sources):       # counts become the indexes at which the heaps start
                    i = starts[source] if starts[source] < max_flows else max_flows
                    starts[source] = total
                    total += i
                heaps = <Candidate*>malloc((total + 1) * sizeof(Candidate))
                if heaps != NULL:
                    select_flows(&self.flows, &wanted[0], sources, max_flows, minimum, now, self.t, starts, sizes,
                                 heaps)
            if heaps == NULL:
                raise MemoryError
            found = []
            for source in range(sources):
                for i in range(starts[source], starts[source] + sizes[source]):
                    cell = cell_at(&self.flows, heaps[i].slot)
                    found.append((source, cell[1] >> 32, (<const char*>(cell + 2))[:8 * self.plan.carried_words],
                                  heaps[i].rate))
            return found
        finally:
            free(starts)
            free(sizes)
            free(heaps)

    def last_seen(self, uint32_t source) -> float:
        """When a sample of this data source last counted; 0.0: never."""
        return self.seen[source] if source < self.source_capacity else 0.0

    def expire(self, uint64_t position, double now) -> int:
        """Drop idle entries from one stretch of cells; answers where to go on, 0 when through.

        Entries still above a limit's re-arm time are kept, so that no crossing is reported twice.
        """
        cdef uint64_t slot = position
        cdef uint64_t stop
        cdef double constants = IDLE_CONSTANTS if self.flows.used * 8 < self.flows.capacity * 7 else CROWDED_CONSTANTS
        cdef double idle = max(constants * self.t, SHORTEST_IDLE_S)
        with nogil:
            stop = min(position + SWEEP_CELLS, self.flows.mask + 1)
            while slot < stop:
                if cell_at(&self.flows, slot)[0] and self.is_over(slot, now, idle):
                    remove(&self.flows, slot)       # may pull a neighbour into this slot: look again
                else:
                    slot += 1
        return 0 if slot > self.flows.mask else slot

    cdef bint is_over(self, uint64_t slot, double now, double idle) noexcept nogil:
        cdef Value* value = <Value*>(cell_at(&self.flows, slot) + 1 + self.flows.words)
        cdef uint32_t i
        if now - value.last <= idle:
            return 0
        for i in range(self.limit_count):
            if self.limits[i].by_flow and clears_of(&self.flows, slot)[i] + self.limits[i].timeout > now:
                return 0
        return 1

    def numbers(self) -> dict:
        """Entries in use, their bound, bytes per cell, refusals, remembered key ids."""
        return {"entries": self.flows.used, "capacity": self.flows.capacity, "cell_bytes": self.flows.stride,
                "refused": self.refused, "key_ids": self.key_ids.used}


cdef bint reserve_limit(Limit* limit, uint32_t old, uint32_t capacity) noexcept nogil:
    cdef void* grown
    cdef uint32_t i
    if limit.accepts != NULL:
        grown = realloc(limit.accepts, capacity)
        if grown == NULL:
            return 0
        limit.accepts = <uint8_t*>grown
        memset(limit.accepts + old, 0, capacity - old)
    if limit.clear != NULL:
        grown = realloc(limit.clear, capacity * sizeof(double))
        if grown == NULL:
            return 0
        limit.clear = <double*>grown
        for i in range(old, capacity):
            limit.clear[i] = -INFINITY
    return 1


cdef inline double* clears_of(const HashTable* table, uint64_t slot) noexcept nogil:
    return <double*>(<uint8_t*>(cell_at(table, slot) + 1 + table.words) + sizeof(Value))


cdef void count_flows(const HashTable* table, const uint8_t* wanted, uint32_t sources, uint64_t* counts) noexcept nogil:
    cdef uint64_t slot
    cdef uint32_t source
    cdef uint64_t* cell
    for slot in range(table.mask + 1):
        cell = cell_at(table, slot)
        if cell[0]:
            source = <uint32_t>cell[1]
            if source < sources and wanted[source]:
                counts[source] += 1


cdef void select_flows(const HashTable* table, const uint8_t* wanted, uint32_t sources, uint32_t max_flows,
                       double minimum, double now, double t, const uint64_t* starts, uint32_t* sizes,
                       Candidate* heaps) noexcept nogil:
    """One min-heap per data source keeps its largest entries."""
    cdef uint64_t slot
    cdef uint32_t source
    cdef uint64_t* cell
    cdef Value* value
    cdef Candidate entry
    for slot in range(table.mask + 1):
        cell = cell_at(table, slot)
        if cell[0] == 0:
            continue
        source = <uint32_t>cell[1]
        if source >= sources or not wanted[source]:
            continue
        value = <Value*>(cell + 1 + table.words)
        if value.rate < minimum:
            continue                                # decay can only make it smaller
        entry.rate = value.rate if now <= value.last else value.rate * exp((value.last - now) / t)
        entry.slot = slot
        if entry.rate < minimum:
            continue
        if sizes[source] < max_flows:
            sizes[source] += 1
            sift_up(heaps + starts[source], sizes[source] - 1, entry)
        elif entry.rate > heaps[starts[source]].rate:
            sift_down(heaps + starts[source], max_flows, entry)


cdef void sift_up(Candidate* heap, uint32_t index, Candidate entry) noexcept nogil:
    while index and heap[(index - 1) // 2].rate > entry.rate:
        heap[index] = heap[(index - 1) // 2]
        index = (index - 1) // 2
    heap[index] = entry


cdef void sift_down(Candidate* heap, uint32_t size, Candidate entry) noexcept nogil:
    """Replace the smallest by `entry`."""
    cdef uint32_t index = 0
    cdef uint32_t child = 1
    while child < size:
        if child + 1 < size and heap[child + 1].rate < heap[child].rate:
            child += 1
        if heap[child].rate >= entry.rate:
            break
        heap[index] = heap[child]
        index, child = child, 2 * child + 1
    heap[index] = entry
