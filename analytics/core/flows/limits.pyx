"""Limits that values cross, and the elephants above them.

Limits are checked in the update of an entry, with one number per limit and entry that was above it, or per limit and
data source when not by flow: `clear`, the time at which the value falls below the limit if no further sample comes:
now + t*ln(value/limit). A sample that finds the value above the limit after `clear + timeout` has found it armed, which
means it stayed below for `timeout` seconds: the limit is crossed. No scan, no timer, no state machine. By data source,
`clear` is the latest of its flows. By flow, what crossed is an *elephant* until `clear + timeout`, and its samples are
added up beside `clear`: also those that find it below the limit for a while, but none that finds it below the limit's
`floor`, value * exp(-timeout/t), because by then it has ended.

A limit that is a test has its own state and is given every sample by itself: sequential.pyx.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport INFINITY, exp, log as ln
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from analytics.core.flows.entry cimport PackedElephant, Value, begin, extend, rate_at
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.notices cimport CLEARED, CROSSED, Notice, are_half_full, notice
from analytics.core.flows.sequential cimport Draw, SequentialTest
from analytics.core.ledger cimport LIVE, Ledger
from analytics.core.table cimport (
    HashTable, Segment, cell_of, digest, find, insert, payload_of, remove, segment_at, shrink, table_close, table_open,
    was_met,
)

cdef enum:
    CLEARS_SHARE = 16                               # a limit's `clear` times take at most one of so many parts of bytes
    TESTS_SHARE = 8                                 # and the flows of a test

ELEPHANT = "=II6dQ"                                 # the same for Python's struct; a span: start, last, total, samples


cdef class Limits:
    """Of one definition; `fading`: 1/t, 0 if its values stay as they are when no sample comes."""

    def __cinit__(self, Ledger ledger not None, double t, double fading):
        self.ledger, self.t, self.fading, self.tests = ledger, t, fading, [None] * MOST_LIMITS
        self.note_lowest()

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.count):
            free(self.items[i].accepts)
            table_close(&self.items[i].clears)

    cdef Notice* above(self, uint32_t index, const uint64_t* key, const Value* value, double amount,
                       double now) noexcept nogil:
        """The value of an entry is above the floor of a limit. Above the limit itself: it is crossed if it was armed,
        which answers the notice of it; note when it will have cleared. By flow the sample counts for what is under
        way."""
        cdef Limit* limit = &self.items[index]
        cdef uint32_t source = <uint32_t>key[0]
        cdef uint64_t of_source = source
        cdef const uint64_t* what = key if limit.by_flow else &of_source
        cdef uint64_t hash
        cdef double* clear
        cdef double falls
        cdef Notice* crossing = NULL
        cdef Elephant* elephant
        if limit.accepts != NULL and (source >= limit.accepts_capacity or not limit.accepts[source]):
            return NULL
        hash = (key - 1)[0] if limit.by_flow else digest(&limit.clears, what)  # a cell begins with the hash of its key
        clear = <double*>find(&limit.clears, what, hash)
        if value.rate <= limit.value:
            if clear != NULL and now < clear[0] + limit.timeout:
                extend(&(<Elephant*>clear).span, amount, now)
            return NULL
        if clear == NULL:
            clear = <double*>insert(&limit.clears, what, hash)
            if clear == NULL:
                self.reporter.notices.lost[<int>CROSSED] += 1
                return NULL
            clear[0] = -INFINITY
        if limit.by_flow:
            elephant = <Elephant*>clear
            if now < clear[0] + limit.timeout:
                extend(&elephant.span, amount, now)
                elephant.peak = max(elephant.peak, value.rate)
            else:
                self.note_cleared(index, key, elephant)
                elephant.peak, elephant.first = value.rate, amount
                begin(&elephant.span, amount, now)
        if now >= clear[0] + limit.timeout:
            crossing = notice(&self.reporter, CROSSED, key)
            if crossing == NULL:
                self.reporter.notices.lost[<int>CROSSED] += 1
            else:
                crossing.limit, crossing.rate, crossing.first = index, value.rate, amount
                begin(&crossing.span, amount, now)
        if self.fading == 0:
            falls = now
        else:
            falls = INFINITY if limit.value <= 0 else value.last + self.t * ln(value.rate / limit.value)
        if falls > clear[0]:
            clear[0] = falls
        return crossing

    cdef void note_cleared(self, uint32_t index, const uint64_t* key, const Elephant* elephant) noexcept nogil:
        """An elephant has ended, if there was one."""
        cdef Notice* it
        if elephant.span.samples == 0:
            return
        it = notice(&self.reporter, CLEARED, key)
        if it == NULL:
            self.reporter.notices.lost[<int>CLEARED] += 1
            return
        it.limit, it.rate, it.first, it.span = index, elephant.peak, elephant.first, elephant.span

    cdef void draw(self, const uint64_t* key, const Draw* draw, double now) noexcept nogil:
        """A sample for the limits that are tests."""
        cdef uint32_t i, source = <uint32_t>key[0]
        cdef Limit* limit
        for i in range(self.count):
            limit = &self.items[i]
            if limit.test != NULL and (
                    limit.accepts == NULL or (source < limit.accepts_capacity and limit.accepts[source])):
                (<SequentialTest>limit.test).take(key, draw, now)

    cdef bint is_under_way(self, const uint64_t* key, uint64_t hash) noexcept nogil:
        """Whether an entry is an elephant whose end will be told; it never is if the limit is not above 0."""
        cdef uint32_t i
        cdef const double* clear
        for i in range(self.count):
            if self.items[i].by_flow and self.items[i].clears.segments != NULL:
                clear = <const double*>find(&self.items[i].clears, key, hash)
                if clear != NULL and clear[0] < INFINITY:
                    return 1
        return 0

    # -- between batches --

    cdef uint32_t add(self, double value, double timeout, bint by_flow, bint filtered, const HashTable* flows) except *:
        """Watch a limit on the values in `flows`; answers its index."""
        cdef uint32_t index = self.free_index()
        cdef Limit* limit = &self.items[index]
        memset(limit, 0, sizeof(Limit))
        limit.value, limit.timeout, limit.by_flow = value, timeout, by_flow
        limit.floor = value * exp(-timeout * self.fading) if by_flow and value > 0 else value
        if not table_open(&limit.clears, flows.words if by_flow else 1,
                          sizeof(Elephant) if by_flow else sizeof(double), ~<uint64_t>0,
                          flows.max_bytes // CLEARS_SHARE, flows.seed):
            raise MemoryError
        self.settle(index, filtered)
        return index

    cdef uint32_t add_test(self, double value, double timeout, bint filtered, settings, bint of_bytes, KeyIds key_ids,
                           const HashTable* flows) except *:
        """The same, by a sequential test (sequential.pyx) in place of the values."""
        cdef uint32_t index = self.free_index()
        cdef Limit* limit = &self.items[index]
        cdef SequentialTest test = SequentialTest(self.ledger, key_ids, index, self.t, of_bytes, value, timeout,
                                                  settings)
        test.make_room(flows.words, flows.max_bytes // TESTS_SHARE, flows.seed)
        test.reporter = self.reporter
        memset(limit, 0, sizeof(Limit))
        limit.value, limit.timeout, limit.by_flow, limit.floor = value, timeout, 1, INFINITY
        self.tests[index] = test
        limit.test = <void*>test
        self.settle(index, filtered)
        return index

    cdef uint32_t free_index(self) except *:
        """Of the limits."""
        cdef uint32_t index = 0
        while index < self.count and self.items[index].value != INFINITY:
            index += 1
        if index == MOST_LIMITS:
            raise OverflowError(f"more than {MOST_LIMITS} thresholds on one flow")
        return index

    cdef void settle(self, uint32_t index, bint filtered) except *:
        """A limit is there."""
        if filtered:
            self.items[index].accepts = <uint8_t*>calloc(1, 1)  # capacity 0: none passes
            if self.items[index].accepts == NULL:
                raise MemoryError
        self.count = max(self.count, index + 1)
        self.note_lowest()

    cdef void accept(self, uint32_t index, uint32_t source, bint accepted) except *:
        """Say whether a data source passes the filter of a limit."""
        cdef Limit* limit
        cdef void* grown
        if source >= self.ledger.source_count:
            raise IndexError(f"no data source {source}")
        if index >= self.count or self.items[index].accepts == NULL:
            raise IndexError(f"limit {index} has no filter")
        limit = &self.items[index]
        if source >= limit.accepts_capacity:
            grown = realloc(limit.accepts, self.ledger.source_capacity)
            if grown == NULL:
                raise MemoryError
            limit.accepts = <uint8_t*>grown
            memset(limit.accepts + limit.accepts_capacity, 0, self.ledger.source_capacity - limit.accepts_capacity)
            limit.accepts_capacity = self.ledger.source_capacity
        limit.accepts[source] = accepted

    cdef void drop(self, uint32_t index) except *:
        """Stop watching a limit; its index may be given to another."""
        cdef Limit* limit
        if index >= self.count:
            raise IndexError(f"no limit {index}")
        limit = &self.items[index]
        if limit.test != NULL:
            self.untested_before += (<SequentialTest>limit.test).refused
        free(limit.accepts)
        table_close(&limit.clears)
        memset(limit, 0, sizeof(Limit))
        limit.value = limit.floor = INFINITY
        self.tests[index] = None
        self.note_lowest()

    cdef void note_lowest(self) noexcept:
        cdef uint32_t i
        self.lowest = INFINITY
        for i in range(self.count):
            self.lowest = min(self.lowest, self.items[i].floor)

    cdef tuple elephants(self, uint32_t index, uint64_t position, double now, const HashTable* flows):
        """Those of a limit by flow in one segment, packed: (where to go on, 0 when through; ELEPHANT and the carried
        bytes of each)."""
        cdef Limit* limit
        cdef Segment segment
        cdef uint64_t* cell
        cdef uint64_t slot
        cdef Elephant* it
        cdef Value* value
        cdef uint32_t carried = 8 * self.reporter.carried_words, size = sizeof(PackedElephant) + carried
        cdef uint8_t* out
        cdef PackedElephant* row
        if index < self.count and self.items[index].test != NULL:
            return (<SequentialTest>self.items[index].test).elephants(position, now)
        if index >= self.count or not self.items[index].by_flow or self.items[index].clears.segments == NULL:
            return 0, b""
        limit = &self.items[index]
        segment = segment_at(&limit.clears, position)
        packed = PyBytes_FromStringAndSize(NULL, min(limit.clears.used, <uint64_t>limit.clears.cells) * size)
        out = <uint8_t*>PyBytes_AS_STRING(packed)
        with nogil:
            for slot in range(limit.clears.cells):
                cell = cell_of(&limit.clears, segment.start, slot)
                it = <Elephant*>payload_of(&limit.clears, cell)
                if (cell[0] == 0 or was_met(&segment, position, cell[0]) or it.clear + limit.timeout < now
                        or self.ledger.sources[<uint32_t>cell[1]].life != LIVE):
                    continue
                value = <Value*>find(flows, cell + 1, cell[0])
                row = <PackedElephant*>out
                row.source, row.key_id = <uint32_t>cell[1], <uint32_t>(cell[1] >> 32)
                row.rate = 0.0 if value == NULL else rate_at(value, now, self.fading)
                row.peak, row.first, row.span = it.peak, it.first, it.span
                memcpy(out + sizeof(PackedElephant), cell + 2, carried)
                out += size
        return segment.after, packed[:out - <uint8_t*>PyBytes_AS_STRING(packed)]

    cdef uint64_t expire(self, uint32_t index, uint64_t position, double now) noexcept nogil:
        """Drop from one segment of a limit the `clear` times that are armed again, which ends elephants; answers where
        to go on, 0 when through. Stops early to have the notices reported."""
        cdef Limit* limit
        cdef Segment segment
        cdef uint64_t* cell
        cdef uint64_t after, slot = 0
        if index < self.count and self.items[index].test != NULL:
            return (<SequentialTest>self.items[index].test).expire(position, now)
        if index >= self.count or self.items[index].clears.segments == NULL:
            return 0
        limit = &self.items[index]
        segment = segment_at(&limit.clears, position)
        after = segment.after
        while slot < limit.clears.cells:
            cell = cell_of(&limit.clears, segment.start, slot)
            if are_half_full(self.reporter.notices):
                after = segment.first | 1           # the same segment: what was done there is not done again
                break
            if cell[0] and ((<double*>payload_of(&limit.clears, cell))[0] + limit.timeout < now
                            or self.ledger.sources[<uint32_t>cell[1]].life != LIVE):
                if limit.by_flow:
                    self.note_cleared(index, cell + 1, <Elephant*>payload_of(&limit.clears, cell))
                remove(&limit.clears, cell)
            else:
                slot += 1
        shrink(&limit.clears)
        return after

    cdef void forget_source(self, uint32_t source) noexcept nogil:
        """A data source whose index gets a new owner."""
        cdef uint32_t i
        for i in range(self.count):
            if source < self.items[i].accepts_capacity:
                self.items[i].accepts[source] = 0

    cdef void trim(self) noexcept nogil:
        """Give back memory for indexes of data sources that the ledger has no room for any more."""
        cdef Limit* limit
        cdef void* less
        cdef uint32_t i
        for i in range(self.count):
            limit = &self.items[i]
            if limit.accepts_capacity > self.ledger.source_capacity:
                less = realloc(limit.accepts, max(self.ledger.source_capacity, 1))
                if less != NULL:
                    limit.accepts, limit.accepts_capacity = <uint8_t*>less, self.ledger.source_capacity

    cdef uint64_t bytes(self) noexcept nogil:
        """Memory of all this."""
        cdef uint32_t i
        cdef uint64_t total = 0
        for i in range(self.count):
            total += self.items[i].clears.bytes + self.items[i].accepts_capacity
            if self.items[i].test != NULL:
                total += (<SequentialTest>self.items[i].test).suspects.bytes
        return total

    cdef uint64_t untested(self) noexcept nogil:
        """Samples of flows for which a test had no room."""
        cdef uint32_t i
        cdef uint64_t total = self.untested_before
        for i in range(self.count):
            if self.items[i].test != NULL:
                total += (<SequentialTest>self.items[i].test).refused
        return total
