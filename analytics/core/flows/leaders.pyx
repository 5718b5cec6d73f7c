"""The keys with the largest rates over many data sources, each with its largest observation: activeflows with `max`.

Two walks over the entries. The first keeps the best observation of each key in a table of its own; when that has grown
it is cut to the `most` best, and from then on an entry that is no better than these costs a comparison. The second
counts the data sources that see the keys found. So only the best keys are copied, however many flows and data sources
there are: of a million entries each costs 10 to 20 ns in a walk, all of them 40 to 55 ms.
"""

cimport cython
from libc.math cimport INFINITY, exp, nextafter
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport FlowCache
from analytics.core.flows.flowkeys cimport KEY_WORDS
from analytics.core.ledger cimport LIVE
from analytics.core.table cimport (
    HashTable, Segment, cell_of, digest, find, insert, payload_of, segment_at, table_close, table_open, was_met,
)

cdef enum:
    FEW = 500                                       # so many are cut to while the lock is held, more between two turns

cdef struct Best:
    double rate                                     # the largest,
    uint32_t source                                 # the data source that has it,
    uint32_t sources                                # and how many there are


@cython.final
cdef class Leaders:
    """The `most` keys of the wanted data sources (wanted[source] != 0; None: all) with the largest rates at any one of
    these, none below `minimum`, decayed to `now`. Which of equal ones are left out is arbitrary."""

    cdef FlowCache cache
    cdef const uint8_t[::1] wanted
    cdef bint all
    cdef uint32_t most, sources
    cdef double floor, minimum, now                 # smaller rates do not count; do not matter any more
    cdef HashTable best                             # key id << 32, carried bytes -> Best
    cdef uint64_t position, slot                    # of `flows`
    cdef bint told                                  # all of them

    def __cinit__(self, FlowCache cache not None, wanted, uint32_t most, double minimum, double now):
        self.cache, self.most, self.now = cache, most, now
        self.floor = self.minimum = minimum
        self.all = wanted is None
        self.sources = cache.ledger.source_count
        if wanted is not None:
            self.wanted = wanted
            self.sources = min(self.sources, <uint32_t>self.wanted.shape[0])
        if not open_like(&self.best, &cache.flows):
            raise MemoryError

    def __dealloc__(self):
        table_close(&self.best)

    def scan(self, uint64_t position) -> int:
        """Find the keys: one segment, with the pipeline's lock; answers where to go on, 0 when through."""
        return self.step(position, 0)

    def count(self, uint64_t position) -> int:
        """Count their data sources: the same walk once more, after the first and a last `prune`."""
        return self.step(position, 1)

    cdef uint64_t step(self, uint64_t position, bint counting) except? 1:
        cdef Segment segment = segment_at(&self.cache.flows, position)
        cdef bint done
        if self.most == 0 or self.sources == 0:
            return 0
        with nogil:
            done = self.take(&segment, position, counting)
        if not done:
            raise MemoryError
        return segment.after

    cdef bint take(self, const Segment* segment, uint64_t position, bint counting) noexcept nogil:
        cdef uint64_t[1 + KEY_WORDS] key
        cdef uint64_t slot, hash
        cdef uint64_t* cell
        cdef uint32_t source
        cdef Value* value
        cdef Best* best
        cdef double rate, least = self.floor if counting else self.minimum
        for slot in range(self.cache.flows.cells):
            cell = cell_of(&self.cache.flows, segment.start, slot)
            if cell[0] == 0:
                continue
            value = <Value*>payload_of(&self.cache.flows, cell)
            if value.rate < least or was_met(segment, position, cell[0]):
                continue                            # decay can only make it smaller
            source = <uint32_t>cell[1]
            if source >= self.sources or not (self.all or self.wanted[source]):
                continue
            memcpy(key, cell + 1, 8 * self.best.words)
            key[0] &= ~<uint64_t>0xFFFFFFFF
            hash = digest(&self.best, key)
            best = <Best*>find(&self.best, key, hash)
            if counting and best == NULL:
                continue
            rate = value.rate * exp(min(value.last - self.now, 0.0) * self.cache.fading)
            if rate < least or self.cache.ledger.sources[source].life != LIVE:
                continue
            if counting:
                best.sources += 1
                continue
            if best == NULL:
                best = <Best*>insert(&self.best, key, hash)
                if best == NULL:
                    return 0
            if rate > best.rate or best.rate == 0.0:
                best.rate, best.source = rate, source
            if self.best.used > 4 * self.most and self.most <= FEW:
                if not self.keep_best():
                    return 0
                least = self.minimum
        return 1

    def prune(self) -> None:
        """Forget all but the `most` best keys; from now on smaller ones are passed over. Needs no lock."""
        cdef bint done
        with nogil:
            done = self.keep_best()
        if not done:
            raise MemoryError

    cdef bint keep_best(self) noexcept nogil:
        cdef HashTable kept
        cdef double* rates
        cdef uint64_t position = 0, slot, count = 0, equal
        cdef Segment segment
        cdef uint64_t* cell
        cdef uint8_t* payload
        cdef double rate, least
        if self.best.used <= self.most:
            return 1
        rates = <double*>malloc(self.best.used * sizeof(double))
        if rates == NULL:
            return 0
        while True:
            segment = segment_at(&self.best, position)
            for slot in range(self.best.cells):
                cell = cell_of(&self.best, segment.start, slot)
                if cell[0]:
                    rates[count] = (<Best*>payload_of(&self.best, cell)).rate
                    count += 1
            position = segment.after
            if position == 0:
                break
        qsort(rates, count, sizeof(double), by_rate)
        least = rates[count - self.most]
        equal = 1                                   # of those that are as large as the least so many stay
        while equal < self.most and rates[count - self.most + equal] == least:
            equal += 1
        free(rates)
        if not open_like(&kept, &self.best):
            return 0
        while True:
            segment = segment_at(&self.best, position)
            for slot in range(self.best.cells):
                cell = cell_of(&self.best, segment.start, slot)
                if cell[0] == 0:
                    continue
                rate = (<Best*>payload_of(&self.best, cell)).rate
                if rate > least or (rate == least and equal):
                    equal -= rate == least
                    payload = insert(&kept, cell + 1, cell[0])
                    if payload == NULL:
                        table_close(&kept)
                        return 0
                    memcpy(payload, payload_of(&self.best, cell), sizeof(Best))
            position = segment.after
            if position == 0:
                break
        table_close(&self.best)
        self.best = kept
        self.minimum = nextafter(least, INFINITY)
        return 1

    @property
    def size(self) -> int:
        """How many keys are kept."""
        return self.best.used

    def flows(self, uint32_t most) -> list:
        """The next ones of what was found, at most `most`: [(rate, (key id, carried bytes), data sources, the one with
        this rate)]; empty at the end. Needs no lock."""
        cdef Segment segment = segment_at(&self.best, self.position)
        cdef uint64_t* cell
        cdef Best* best
        found = []
        while not self.told and len(found) < most:
            cell = cell_of(&self.best, segment.start, self.slot)
            if cell[0]:
                best = <Best*>payload_of(&self.best, cell)
                carried = (<const char*>(cell + 2))[:8 * (self.best.words - 1)]
                found.append((best.rate, (cell[1] >> 32, carried), max(1, best.sources), best.source))
            self.slot += 1
            if self.slot == self.best.cells:
                self.slot, self.position, self.told = 0, segment.after, segment.after == 0
                segment = segment_at(&self.best, self.position)
        return found


cdef bint open_like(HashTable* table, const HashTable* other) noexcept nogil:
    """A table of keys as wide as another's."""
    return table_open(table, other.words, sizeof(Best), ~<uint64_t>0, ~<uint64_t>0, other.seed)


cdef int by_rate(const void* one, const void* other) noexcept nogil:
    cdef double first = (<const double*>one)[0]
    cdef double second = (<const double*>other)[0]
    return (first > second) - (first < second)
