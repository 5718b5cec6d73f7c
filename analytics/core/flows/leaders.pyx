"""The keys with the largest values over many data sources: activeflows with `max`, `sum` or `avg`.

Two walks over the entries, segment by segment. With the pipeline's lock `scan` only copies the observations that may
matter; `take_in` adds them up without it, in a table by key. When that has grown too large it is cut to the best: by
`max` to as many as are asked for, and from then on a smaller observation costs a comparison. What is added up may grow,
so there half of MOST_KEYS are left at least. The second walk, if anything was passed over, counts the data sources that
see the keys found, and adds their values up anew.

So only the best keys are kept, however many flows and data sources there are: by `max` each of a million entries costs
10 to 20 ns in a walk, all of them 35 to 55 ms; added up it costs ten times that, and 10 MB. The lock is held for
one segment at a time, some 2 ms where everything is copied.
"""

cimport cython
from libc.math cimport INFINITY, exp, nextafter
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport FlowCache
from analytics.core.flows.flowkeys cimport KEY_WORDS
from analytics.core.flows.nth cimport nth
from analytics.core.ledger cimport LIVE
from analytics.core.pages cimport LARGEST as PAGE, release, zeroed
from analytics.core.table cimport (
    HashTable, Segment, cell_of, digest, fetch, find, insert, payload_of, remove, segment_at, table_close, table_open,
    was_met,
)

cdef enum:
    FEW = 500                                       # so many are cut to while a segment is taken in
    MOST_KEYS = 100_000                             # of which values are added up

cdef enum Merge:                                    # of several observations of a key
    LARGEST
    TOTAL
    AVERAGE

cdef struct Observed:                               # one observation; the key follows
    double rate, last
    uint64_t source

cdef struct Best:
    double rate                                     # the largest,
    double total                                    # and all together
    uint32_t source                                 # the data source that has the largest,
    uint32_t sources                                # and how many there are


@cython.final
cdef class Leaders:
    """The `most` keys of the wanted data sources (wanted[source] != 0; None: all) with the largest values, decayed to
    `now`: of the largest observation, their sum ("sum") or their average ("avg"). None is below `minimum`. Which of
    equal ones are left out is arbitrary."""

    cdef FlowCache cache
    cdef const uint8_t[::1] wanted
    cdef bint all
    cdef Merge merge
    cdef uint32_t sources
    cdef uint64_t asked, most, room                 # keys that are asked for; left by a cut; that make it due
    cdef double least, minimum, now                 # smaller observations do not count; do not matter any more
    cdef double floor                               # smaller values are not told
    cdef bint cut, counting, ended                  # keys were passed over; the second walk is under way, or done
    cdef uint8_t* observed                          # of one segment, each `stride` bytes
    cdef uint64_t observed_count
    cdef size_t room_bytes
    cdef uint32_t stride
    cdef double* ranks                              # room for those of all keys
    cdef uint64_t ranks_room
    cdef HashTable best                             # key id << 32, carried bytes -> Best
    cdef uint64_t position, slot                    # of `flows`
    cdef bint told                                  # all of them

    def __cinit__(self, FlowCache cache not None, wanted, uint32_t most, double minimum, double now, merge="max"):
        self.cache, self.now, self.floor, self.asked = cache, now, minimum, most
        self.merge = {"max": LARGEST, "sum": TOTAL, "avg": AVERAGE}[merge]
        self.most = most if self.merge == LARGEST else max(most, <uint32_t>(MOST_KEYS // 2))
        self.room = 2 * self.most
        self.least = self.minimum = minimum if self.merge == LARGEST else 0.0
        self.all = wanted is None
        self.sources = cache.ledger.source_count if most else 0
        if wanted is not None:
            self.wanted = wanted
            self.sources = min(self.sources, <uint32_t>self.wanted.shape[0])
        self.stride = sizeof(Observed) + 8 * cache.flows.words
        # A hash of its own: keys that come in the order of their hashes would all fall into the same few segments.
        if not table_open(&self.best, cache.flows.words, sizeof(Best), ~<uint64_t>0, ~<uint64_t>0,
                          cache.flows.seed * 0x9E3779B97F4A7C15ULL + 1):
            raise MemoryError

    def __dealloc__(self):
        table_close(&self.best)
        release(self.observed, self.room_bytes)
        free(self.ranks)

    def scan(self, uint64_t position) -> int:
        """Copy what one segment has, with the pipeline's lock; answers where to go on, 0 when through."""
        cdef Segment segment
        if self.sources == 0 or (self.counting and not self.cut):
            return 0
        if not self.has_room():
            raise MemoryError
        segment = segment_at(&self.cache.flows, position)
        with nogil:
            self.copy(&segment, position)
        return segment.after

    cdef bint has_room(self) noexcept nogil:
        """Have room for what one segment has, in a page that is there already (pages.pyx) if that is much."""
        cdef size_t size = self.cache.flows.cells * self.stride
        if size <= self.room_bytes:
            return 1
        release(self.observed, self.room_bytes)
        self.room_bytes = size if size < PAGE // 8 else PAGE
        self.observed = zeroed(self.room_bytes)
        if self.observed == NULL:
            self.room_bytes = 0
        return self.room_bytes >= size

    cdef void copy(self, const Segment* segment, uint64_t position) noexcept nogil:
        """What matters of a segment, of data sources that are not gone: what is known of these is anywhere in memory,
        so it is asked for first and looked at last."""
        cdef uint64_t slot, _i, count = 0
        cdef uint64_t* cell
        cdef uint32_t source
        cdef Value* value
        cdef Observed* seen = <Observed*>self.observed
        cdef Observed* kept = seen
        cdef double least = self.least if self.counting else self.minimum
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
            if self.counting and self.merge == LARGEST and not self.is_found(cell + 1):
                continue                            # mostly, and their table is small
            if self.merge == LARGEST and self.decayed(value.rate, value.last) < least:
                continue                            # of what is added up hardly any is below
            fetch(&self.cache.ledger.sources[source].life, 0)
            seen.rate, seen.last, seen.source = value.rate, value.last, source
            memcpy(seen + 1, cell + 1, 8 * self.cache.flows.words)
            seen = <Observed*>(<uint8_t*>seen + self.stride)
            count += 1
        self.observed_count = 0
        seen = kept
        for _i in range(count):
            if self.cache.ledger.sources[seen.source].life == LIVE:
                if kept != seen:
                    memcpy(kept, seen, self.stride)
                kept = <Observed*>(<uint8_t*>kept + self.stride)
                self.observed_count += 1
            seen = <Observed*>(<uint8_t*>seen + self.stride)

    cdef inline double decayed(self, double rate, double last) noexcept nogil:
        return rate * exp(min(last - self.now, 0.0) * self.cache.fading)

    cdef bint is_found(self, const uint64_t* entry) noexcept nogil:
        """Whether the first walk found the key of an entry."""
        cdef uint64_t[1 + KEY_WORDS] key
        memcpy(key, entry, 8 * self.best.words)
        key[0] &= ~<uint64_t>0xFFFFFFFF
        return find(&self.best, key, digest(&self.best, key)) != NULL

    def take_in(self) -> None:
        """Add up what the last `scan` copied. Needs no lock."""
        cdef bint done
        with nogil:
            done = self.add_up()
        if not done:
            raise MemoryError

    @property
    def is_full(self) -> bool:
        """Whether there are so many keys that it is time to `cut_down`."""
        return self.best.used > self.room and not self.counting

    def cut_down(self) -> None:
        """Keep the best keys. Needs no lock."""
        cdef bint done
        with nogil:
            done = self.keep_best(self.most)
        if not done:
            raise MemoryError

    cdef bint add_up(self) noexcept nogil:
        cdef uint8_t* at = self.observed
        cdef Observed* seen
        cdef uint64_t* key
        cdef uint64_t hash, _i
        cdef Best* best
        cdef double rate, least = self.least if self.counting else self.minimum
        for _i in range(self.observed_count):
            seen, key = <Observed*>at, <uint64_t*>(at + sizeof(Observed))
            at += self.stride
            rate = self.decayed(seen.rate, seen.last)
            if rate < least:
                continue
            key[0] &= ~<uint64_t>0xFFFFFFFF
            hash = digest(&self.best, key)
            best = <Best*>find(&self.best, key, hash)
            if best == NULL:
                if self.counting:
                    continue
                best = <Best*>insert(&self.best, key, hash)
                if best == NULL:
                    return 0
            best.total += rate
            best.sources += 1
            if rate > best.rate or best.sources == 1:
                best.rate, best.source = rate, <uint32_t>seen.source
            if self.most <= FEW and self.best.used > 4 * self.most and not self.counting:
                if not self.keep_best(self.most):
                    return 0
                least = self.minimum
        self.observed_count = 0
        return 1

    cdef double rank_of(self, const Best* best) noexcept nogil:
        """What is cut by: at last the value; before, an average by the largest observation, which it cannot exceed."""
        if self.merge == TOTAL:
            return best.total
        if self.merge == AVERAGE and self.ended:
            return best.total / max(1, best.sources)
        return best.rate

    def count(self) -> None:
        """Begin the second walk."""
        if self.merge == LARGEST:
            self.cut_down()
        self.counting = 1
        if self.cut:
            with nogil:
                self.forget_values()

    def end(self) -> None:
        """Cut to as many as were asked for, by their values: both walks are done."""
        cdef bint done
        self.ended = 1
        with nogil:
            done = self.keep_best(self.asked)
        if not done:
            raise MemoryError

    cdef void forget_values(self) noexcept nogil:
        """All that is known of the keys, but themselves."""
        cdef uint64_t position = 0, slot
        cdef Segment segment
        cdef uint64_t* cell
        while True:
            segment = segment_at(&self.best, position)
            for slot in range(self.best.cells):
                cell = cell_of(&self.best, segment.start, slot)
                if cell[0]:
                    (<Best*>payload_of(&self.best, cell))[0] = Best(0.0, 0.0, 0, 0)
            position = segment.after
            if position == 0:
                break

    cdef bint keep_best(self, uint64_t most) noexcept nogil:
        """Forget all but so many of the best keys; 0 when memory is short."""
        cdef uint64_t position = 0, slot, left, count = 0, equal = 0
        cdef Segment segment
        cdef uint64_t* cell
        cdef double* ranks
        cdef double rank, least
        if self.best.used <= most:
            return 1
        if self.ranks_room < self.best.used:
            free(self.ranks)
            self.ranks_room = 2 * self.best.used
            self.ranks = <double*>malloc(self.ranks_room * sizeof(double))
            if self.ranks == NULL:
                self.ranks_room = 0
                return 0
        ranks = self.ranks
        while True:
            segment = segment_at(&self.best, position)
            for slot in range(self.best.cells):
                cell = cell_of(&self.best, segment.start, slot)
                if cell[0]:
                    ranks[count] = self.rank_of(<Best*>payload_of(&self.best, cell))
                    count += 1
            position = segment.after
            if position == 0:
                break
        least = nth(ranks, count, count - most)
        for slot in range(count - most, count):
            equal += ranks[slot] == least           # of those that are as good as the last so many stay
        while True:
            segment = segment_at(&self.best, position)
            slot, left = 0, self.best.cells
            while cell_of(&self.best, segment.start, slot)[0] != 0:
                slot += 1                           # from behind an empty cell on, nothing is met twice
            while left:
                cell = cell_of(&self.best, segment.start, slot)
                if cell[0]:
                    rank = self.rank_of(<Best*>payload_of(&self.best, cell))
                    if rank < least or (rank == least and equal == 0):
                        remove(&self.best, cell)    # may pull a neighbour into this slot: look again
                        continue
                    equal -= rank == least
                slot = slot + 1 if slot + 1 < self.best.cells else 0
                left -= 1
            position = segment.after
            if position == 0:
                break
        self.cut = 1
        if self.merge == LARGEST:
            self.minimum = nextafter(least, INFINITY)
        return 1

    def flows(self, uint32_t most) -> list:
        """After `end` the next ones of what was found, at most `most`: [(value, (key id, carried bytes), data sources,
        the one with the largest)]; empty at the end. Needs no lock."""
        cdef Segment segment = segment_at(&self.best, self.position)
        cdef uint64_t* cell
        cdef Best* best
        found = []
        while not self.told and len(found) < most:
            cell = cell_of(&self.best, segment.start, self.slot)
            if cell[0]:
                best = <Best*>payload_of(&self.best, cell)
                if best.sources and self.rank_of(best) >= self.floor:  # else it went between the two walks
                    carried = (<const char*>(cell + 2))[:8 * (self.best.words - 1)]
                    found.append((self.rank_of(best), (cell[1] >> 32, carried), best.sources, best.source))
            self.slot += 1
            if self.slot == self.best.cells:
                self.slot, self.position, self.told = 0, segment.after, segment.after == 0
                segment = segment_at(&self.best, self.position)
        return found
