"""Raw fields of keys that Python computes -> key ids, so that each is computed once; and who still has a key id.

A computed key goes when it was not used for some sweeps; in a full table (a quarter of the definition's memory) it
makes room for a new one as soon as it was not used since the last. A key id is told as unused when neither entries nor
computed keys have it: then Python may forget its text. When too many keys are new at a time, only those are computed
that came before.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from analytics.core.seenonce cimport seen_once_bytes, seen_once_close, seen_once_open, was_seen_once
from analytics.core.table cimport (
    Segment, cell_near, cell_of, cell_with, digest, find, insert, payload_of, remove, replace, segment_at, shrink,
    table_close, table_open, was_met,
)

cdef enum:
    NEAR_BY = 16                                    # computed keys that one makes room of
    NEWCOMER_TAGS = 1 << 18
    UNUSED_SWEEPS = 4                               # after so many a computed key goes


cdef class KeyIds:
    """`words`: of the raw fields; `max_bytes`: of the table of computed keys. Callers hold the pipeline's lock."""

    def __cinit__(self, uint32_t words, uint64_t max_bytes, uint64_t seed):
        if not (table_open(&self.table, words, sizeof(KeyId), ~<uint64_t>0, max_bytes, seed)
                and table_open(&self.uses, 1, 8, ~<uint64_t>0, ~<uint64_t>0, seed)):
            raise MemoryError

    def __dealloc__(self):
        table_close(&self.table)
        table_close(&self.uses)
        seen_once_close(&self.newcomers)
        free(self.idle)

    cdef void hold(self, uint32_t key_id) noexcept nogil:
        """One more has a key id."""
        cdef uint64_t key = key_id
        cdef uint64_t hash
        cdef uint8_t* uses
        if key_id == 0:
            return
        hash = digest(&self.uses, &key)
        uses = find(&self.uses, &key, hash)
        if uses == NULL:
            uses = insert(&self.uses, &key, hash)
        if uses != NULL:
            (<uint64_t*>uses)[0] += 1

    cdef void let_go(self, uint32_t key_id) noexcept nogil:
        """One less has it; when that was the last, it is among the unused."""
        cdef uint64_t key = key_id
        cdef uint64_t hash
        cdef uint64_t* uses
        cdef void* grown
        if key_id == 0:
            return
        hash = digest(&self.uses, &key)
        uses = <uint64_t*>find(&self.uses, &key, hash)
        if uses == NULL:
            return
        uses[0] -= 1
        if uses[0]:
            return
        remove(&self.uses, cell_with(&self.uses, uses))
        if self.idle_count == self.idle_capacity:
            grown = realloc(self.idle, (2 * self.idle_capacity + 64) * sizeof(uint32_t))
            if grown == NULL:
                return
            self.idle, self.idle_capacity = <uint32_t*>grown, 2 * self.idle_capacity + 64
        self.idle[self.idle_count] = key_id
        self.idle_count += 1

    cdef void remember(self, const uint64_t* computed, uint64_t hash, uint32_t key_id) noexcept nogil:
        """Store the key id of computed (raw) fields; 0 is a rejection. In a full table it takes the place of one that
        is not used, if there is one near by."""
        cdef KeyId* it = <KeyId*>find(&self.table, computed, hash)
        cdef uint64_t* cell
        cdef uint32_t i
        if it == NULL:
            it = <KeyId*>insert(&self.table, computed, hash)
            i = 0
            while it == NULL and i < NEAR_BY:
                cell = cell_near(&self.table, hash, i)
                if cell[0] == 0:
                    return
                if (<KeyId*>payload_of(&self.table, cell)).unused:
                    self.let_go((<KeyId*>payload_of(&self.table, cell)).number)
                    it = <KeyId*>replace(&self.table, cell, computed, hash)
                i += 1
            if it == NULL:
                return
        else:
            self.let_go(it.number)
        it[0] = KeyId(key_id, self.names, 0)
        self.hold(key_id)

    cdef bint came_before(self, uint64_t hash) noexcept nogil:
        """Whether raw fields that were not computed came lately; notes it. The filter is made when it is needed."""
        self.pressed = 1
        if self.newcomers.tags == NULL and not seen_once_open(&self.newcomers, NEWCOMER_TAGS):
            return 0
        return was_seen_once(&self.newcomers, hash)

    cdef uint64_t bytes(self) noexcept nogil:
        """Memory of all this."""
        return (self.table.bytes + self.uses.bytes + seen_once_bytes(&self.newcomers)
                + self.idle_capacity * sizeof(uint32_t))

    # -- between batches --

    @property
    def unused(self) -> int:
        """How many key ids became unused, some of them for a while only."""
        return self.idle_count

    def take_unused(self, uint32_t most) -> list[int]:
        """The oldest key ids that became unused, at most so many, and are so still."""
        cdef uint32_t i, count = min(most, self.idle_count)
        cdef uint64_t key
        found = []
        for i in range(count):
            key = self.idle[i]
            if find(&self.uses, &key, digest(&self.uses, &key)) == NULL:
                found.append(self.idle[i])
        self.idle_count -= count
        if self.idle_count:
            for i in range(self.idle_count):
                self.idle[i] = self.idle[i + count]
        else:
            free(self.idle)
            self.idle, self.idle_capacity = NULL, 0
        return found

    def forget(self) -> None:
        """Names have changed (topology): compute every key anew."""
        self.names += 1
        self.table.generation += 1

    def bound(self, uint64_t max_bytes) -> None:
        """Take at most so much memory for the table from now on; what is there already goes as it is unused."""
        self.table.max_bytes = max_bytes

    def sweep(self, uint64_t position) -> int:
        """Forget the computed keys of one segment that were not used for some sweeps; answers where to go on, 0 when
        through. Call it some seconds apart."""
        cdef Segment segment = segment_at(&self.table, position)
        cdef uint64_t slot = 0
        cdef uint64_t* cell
        cdef KeyId* it
        with nogil:
            while slot < self.table.cells:
                cell = cell_of(&self.table, segment.start, slot)
                if cell[0] and not was_met(&segment, position, cell[0]):
                    it = <KeyId*>payload_of(&self.table, cell)
                    it.unused += 1
                    if it.unused > UNUSED_SWEEPS or it.names != self.names:
                        self.let_go(it.number)
                        remove(&self.table, cell)  # may pull a neighbour into this slot: look again
                        continue
                slot += 1
            shrink(&self.table)
            shrink(&self.uses)
        if position == 0:
            if not self.pressed:
                seen_once_close(&self.newcomers)
            self.pressed = 0
        return segment.after
