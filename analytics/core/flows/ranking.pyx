"""The largest flows of every data source, found segment by segment, so that nobody waits long for the lock.

One min-heap per data source keeps its largest entries, with copies of their keys: cells move between two turns of the
lock. Memory follows what is asked: at most `most` keys per data source that has so many; `prune` bounds their sum.
"""

cimport cython
from libc.math cimport exp
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport FlowCache, state_of
from analytics.core.flows.flowkeys cimport RATE
from analytics.core.flows.nth cimport nth
from analytics.core.flows.statistics cimport figure
from analytics.core.table cimport Segment, cell_of, payload_of, segment_at, was_met
from analytics.core.ledger cimport LIVE

cdef struct Candidate:
    double rate, last                               # now; when a sample last counted
    uint64_t place                                  # of its key

cdef struct Heap:
    Candidate* items
    uint32_t size, capacity


@cython.final
cdef class Ranking:
    """The largest flows of each wanted data source (wanted[source] != 0; None: of all), at most `most` each, none below
    `minimum`, with rates decayed to `now`."""

    cdef FlowCache cache
    cdef const uint8_t[::1] wanted
    cdef bint all
    cdef uint32_t most, sources
    cdef uint32_t words, key_words                  # copied of an entry: its key, and its state if it has one
    cdef double minimum, now
    cdef Heap* heaps
    cdef uint64_t* keys
    cdef uint64_t places, capacity
    cdef uint32_t next_source, next_item            # of `flows`

    def __cinit__(self, FlowCache cache not None, wanted, uint32_t most, double minimum, double now):
        self.cache, self.most, self.minimum, self.now = cache, most, minimum, now
        self.all = wanted is None
        self.sources = cache.ledger.source_count
        if wanted is not None:
            self.wanted = wanted
            self.sources = min(self.sources, <uint32_t>self.wanted.shape[0])
        self.key_words = self.words = cache.flows.words
        if cache.plan.value_count:
            self.words += cache.state_at // 8 + cache.plan.state_words
        self.heaps = <Heap*>calloc(self.sources + 1, sizeof(Heap))
        if self.heaps == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i
        if self.heaps != NULL:
            for i in range(self.sources):
                free(self.heaps[i].items)
        free(self.heaps)
        free(self.keys)

    def scan(self, uint64_t position) -> int:
        """Take the entries of one segment, with the pipeline's lock; answers where to go on, 0 when through."""
        cdef Segment segment = segment_at(&self.cache.flows, position)
        cdef bint done
        if self.most == 0 or self.sources == 0:
            return 0
        with nogil:
            done = self.take(&segment, position)
        if not done:
            raise MemoryError
        return segment.after

    cdef bint take(self, const Segment* segment, uint64_t position) noexcept nogil:
        cdef uint64_t slot
        cdef uint32_t source
        cdef uint64_t* cell
        cdef Value* value
        cdef double rate
        for slot in range(self.cache.flows.cells):
            cell = cell_of(&self.cache.flows, segment.start, slot)
            if cell[0] == 0 or was_met(segment, position, cell[0]):
                continue
            source = <uint32_t>cell[1]
            if source >= self.sources or not (self.all or self.wanted[source]):
                continue
            value = <Value*>payload_of(&self.cache.flows, cell)
            if value.rate < self.minimum or self.cache.ledger.sources[source].life != LIVE:
                continue                            # decay can only make it smaller
            rate = value.rate
            if self.now > value.last:
                rate *= exp((value.last - self.now) * self.cache.fading)
            if rate >= self.minimum and not self.add(&self.heaps[source], rate, value.last, cell + 1):
                return 0
        return 1

    cdef bint add(self, Heap* heap, double rate, double last, const uint64_t* key) noexcept nogil:
        """Keep a flow if it is among the largest; 0 when memory is short."""
        cdef uint64_t place
        cdef void* grown
        cdef uint32_t capacity
        if heap.size == self.most:
            if rate > heap.items[0].rate:
                place = heap.items[0].place
                memcpy(self.keys + place, key, 8 * self.words)
                sift_down(heap.items, heap.size, Candidate(rate, last, place))
            return 1
        if heap.size == heap.capacity:
            capacity = min(self.most, 2 * heap.capacity + 8)
            grown = realloc(heap.items, capacity * sizeof(Candidate))
            if grown == NULL:
                return 0
            heap.items, heap.capacity = <Candidate*>grown, capacity
        if (self.places + 1) * self.words > self.capacity:
            grown = realloc(self.keys, (2 * self.capacity + 1024) * sizeof(uint64_t))
            if grown == NULL:
                return 0
            self.keys, self.capacity = <uint64_t*>grown, 2 * self.capacity + 1024
        place = self.places * self.words
        self.places += 1
        memcpy(self.keys + place, key, 8 * self.words)
        heap.size += 1
        sift_up(heap.items, heap.size - 1, Candidate(rate, last, place))
        return 1

    @property
    def size(self) -> int:
        """How many flows are kept."""
        return self.places

    def prune(self, uint64_t most) -> None:
        """Keep about the `most` largest flows of all data sources together; from now on smaller ones are passed over.
        Needs no lock."""
        cdef bint done
        with nogil:
            done = self.keep_largest(most)
        if not done:
            raise MemoryError

    cdef bint keep_largest(self, uint64_t most) noexcept nogil:
        cdef double* rates
        cdef uint64_t* keys
        cdef Heap* heap
        cdef Candidate kept
        cdef uint64_t count = 0
        cdef uint32_t source, i, size
        if self.places <= most:
            return 1
        rates = <double*>malloc(self.places * sizeof(double))
        keys = <uint64_t*>malloc((self.places + 1) * self.words * sizeof(uint64_t))
        if rates == NULL or keys == NULL:
            free(rates)
            free(keys)
            return 0
        for source in range(self.sources):
            for i in range(self.heaps[source].size):
                rates[count] = self.heaps[source].items[i].rate
                count += 1
        self.minimum = max(self.minimum, nth(rates, count, count - most))
        count = 0
        for source in range(self.sources):
            heap = &self.heaps[source]
            size = heap.size
            heap.size = 0
            for i in range(size):                   # each goes to a place at or before its own
                kept = heap.items[i]
                if kept.rate >= self.minimum and count < 2 * most:
                    memcpy(keys + count * self.words, self.keys + kept.place, 8 * self.words)
                    heap.size += 1
                    sift_up(heap.items, heap.size - 1, Candidate(kept.rate, kept.last, count * self.words))
                    count += 1
        free(rates)
        free(self.keys)
        self.keys, self.capacity = keys, (self.places + 1) * self.words
        self.places = count
        return 1

    def flows(self, uint32_t most) -> list:
        """The next ones of what was found, about `most`: [(source, key id, carried bytes, value, time of the last
        sample, figures)], in order of data sources; empty at the end. `figures`: (value, weight) of every value of a
        definition with statistics, None for one that was not seen lately. Needs no lock."""
        cdef Heap* heap
        cdef Candidate* item
        cdef uint64_t* key
        found = []
        while self.next_source < self.sources and len(found) < most:
            heap = &self.heaps[self.next_source]
            if self.next_item == heap.size:
                self.next_source += 1
                self.next_item = 0
                continue
            item = &heap.items[self.next_item]
            key = self.keys + item.place
            carried = (<const char*>(key + 1))[:8 * (self.key_words - 1)]
            found.append((self.next_source, key[0] >> 32, carried, item.rate, item.last,
                          self.figures(<Value*>(key + self.key_words)) if self.words != self.key_words else ()))
            self.next_item += 1
        return found

    cdef tuple figures(self, const Value* value):
        cdef double number, weight
        cdef uint32_t i
        found = []
        for i in range(self.cache.plan.value_count):
            if not figure(&self.cache.plan, state_of(self.cache, value), i, &number, &weight):
                found.append(None)
                continue
            if self.cache.plan.values[i].statistic == RATE:
                number *= exp(min(value.last - self.now, 0.0) * self.cache.gain)
            found.append((number, weight))
        return tuple(found)


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
