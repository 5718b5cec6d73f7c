"""Counter samples are kept as they came, copied without the GIL; analytics.metrics.counters makes metrics of them on
demand.

The counters of a data source are one block of memory with an entry per record in the order in which the agent sends
them, so that a sample is one walk forward. An entry has the newest body and the one before it, because a rate needs
two. Both are of one epoch of the agent: when its sequence or uptime goes back, or our own clock, what came before is no
predecessor any more. Two samples at one time count as one, the later. A record that is shorter than its structure is a
fault and what it has is kept; unknown ones are left out.

Agents choose data sources and records, so memory is bounded: at `max_bytes` new records are refused and counted, as
are bodies beyond MOST_BODY and queues beyond MOST_QUEUES; those known before go on. `expire` forgets data sources that
fell silent.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from analytics.core.wire.rows cimport COUNTER_TABLE, MOST_FIELDS, Row, find, locate
from analytics.core.wire.sflow cimport CounterSample, next_record
from analytics.core.wire.xdr cimport Window, be32, left

cdef enum:
    MOST_BODY = 4096                                # bytes of a record; the longest of fixed size has 144
    QUEUE = 1003                                    # queue_length: a port sends one per queue
    MOST_OF_SOURCE = 1 << 18                        # bytes of one data source: all queues take half of it
    MOST_QUEUES = 256                               # of a port; metrics are named after them
    FAR = 65536                                     # a sequence that jumps further is another epoch's
    UPTIME_SLACK_MS = 60000                         # so much further than twice ours may an agent's clock go
    SOURCES_AT_ONCE = 65536                         # checked by one call of `expire`

cdef double STALE_INTERVALS = 3.5                   # times the interval without an update
cdef double STALE_AT_LEAST_S = 30.0
cdef double STALE_AT_FIRST_S = 120.0                # before the interval is known


cdef inline Entry* entry_at(const Counters* counters, uint32_t position) noexcept nogil:
    return <Entry*>(counters.entries + position)


cdef inline uint32_t size_of(const Entry* entry) noexcept nogil:
    return <uint32_t>sizeof(Entry) + 2 * entry.capacity


cdef inline uint8_t* body_of(Entry* entry, uint32_t which) noexcept nogil:
    return <uint8_t*>(entry + 1) + which * entry.capacity


cdef uint32_t readable(const Row* row, const Window* record, bint* whole) noexcept nogil:
    """How many bytes of a record have whole fields; `whole`: none is missing."""
    cdef Window[MOST_FIELDS] fields
    cdef int count
    whole[0] = 1
    if row.size and left(record) >= row.size:
        return row.size
    count = locate(row, record[0], fields, whole)
    return <uint32_t>(fields[count - 1].end - record.at) if count else 0


cdef bint restarted(const Counters* counters, uint32_t sequence, uint32_t uptime, double now) noexcept nogil:
    """Whether a sample is of another epoch of the agent. Sequence and uptime may wrap in the same epoch."""
    cdef double elapsed_ms = (now - counters.updated) * 1000
    if sequence < counters.sequence and <uint32_t>(sequence - counters.sequence) >= FAR:
        return 1
    return uptime < counters.uptime and <uint32_t>(uptime - counters.uptime) > 2 * elapsed_ms + UPTIME_SLACK_MS


cdef double write(Entry* entry, uint32_t epoch, const uint8_t* body, uint32_t length, double now) noexcept nogil:
    """Put a body in place of the older one; answers the seconds since the newest of the same epoch."""
    cdef double seconds = 0.0
    if entry.epoch != epoch or now < entry.time[entry.newest]:
        entry.earlier = 0
    elif now > entry.time[entry.newest]:
        seconds = now - entry.time[entry.newest]
        entry.earlier = 1
        entry.newest ^= 1
    memcpy(body_of(entry, entry.newest), body, length)
    entry.length[entry.newest], entry.time[entry.newest], entry.epoch = length, now, epoch
    return seconds


cdef double stale_after(const Counters* counters) noexcept nogil:
    """Seconds after which a value that was not renewed is gone."""
    if counters.interval == 0.0:
        return STALE_AT_FIRST_S
    return max(STALE_INTERVALS * counters.interval, STALE_AT_LEAST_S)


cdef class CounterStore:
    def __cinit__(self, uint64_t max_bytes):
        self.max_bytes = max_bytes
        self.watched = <uint8_t*>calloc(COUNTER_TABLE.count, 1)
        self.changed = <uint32_t*>malloc(MOST_CHANGED * sizeof(uint32_t))
        if not (self.watched and self.changed):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t source
        for source in range(self.capacity):
            free(self.by_source[source].entries)
        free(self.by_source)
        free(self.watched)
        free(self.changed)

    cdef uint32_t keep(self, uint32_t source, const CounterSample* sample, uint32_t uptime, double now) noexcept nogil:
        """Keep the records of a sample that is newer than all before it; answers the faults in them."""
        cdef CounterSample rest = sample[0]
        cdef Counters* counters = self.counters(source)
        cdef const Row* row
        cdef Entry* entry
        cdef Window record
        cdef uint64_t key
        cdef uint32_t tag = 0, position = 0, length, faults = 0
        cdef double interval = 0.0
        cdef bint whole, begun = 0
        while next_record(&rest, &tag, &record, &faults):
            key = tag
            if counters != NULL and position < counters.used and <uint32_t>entry_at(counters, position).key == tag:
                row = &COUNTER_TABLE.rows[entry_at(counters, position).row]  # as in the sample before
            else:
                row = find(&COUNTER_TABLE, tag)
                if row == NULL:
                    continue
            length = readable(row, &record, &whole)
            faults += not whole
            if length == 0:
                continue
            if tag == QUEUE:
                key |= <uint64_t>be32(record.at) << 32
            entry = NULL
            if counters != NULL and length <= MOST_BODY and key >> 32 < MOST_QUEUES:
                entry = self.entry(counters, key, <uint32_t>(row - COUNTER_TABLE.rows), length, &position)
            if entry == NULL:
                self.refused += 1
                continue
            if not begun:
                begun = 1
                counters.epoch += restarted(counters, sample.sequence, uptime, now)
                counters.sequence, counters.uptime, counters.updated = sample.sequence, uptime, now
                counters.version += 1
            interval = max(interval, write(entry, counters.epoch, record.at, length, now))
            if self.watched[entry.row]:
                self.note_changed(source)
        if interval > 0.0:
            counters.interval = interval
        return faults

    cdef Counters* counters(self, uint32_t source) noexcept nogil:
        """The counters of a data source (of at most ledger.MOST_SOURCES); NULL when memory is short."""
        cdef uint32_t capacity = self.capacity
        cdef Counters* grown
        if source >= capacity:
            capacity = max(2 * capacity, source + 64)
            grown = <Counters*>realloc(self.by_source, capacity * sizeof(Counters))
            if grown == NULL:
                return NULL
            memset(grown + self.capacity, 0, (capacity - self.capacity) * sizeof(Counters))
            self.by_source, self.capacity = grown, capacity
        return &self.by_source[source]

    cdef Entry* entry(self, Counters* counters, uint64_t key, uint32_t row, uint32_t length,
                      uint32_t* position) noexcept nogil:
        """The entry of a record of `length` bytes, made when it is new; NULL when there is no memory for it.

        `position` is where it is looked for first and becomes the position behind it.
        """
        cdef uint32_t capacity = (length + 7) & ~<uint32_t>7
        cdef uint32_t at = position[0], size
        cdef Entry* entry
        if at >= counters.used or entry_at(counters, at).key != key:
            at = 0
            while at < counters.used and entry_at(counters, at).key != key:
                at += size_of(entry_at(counters, at))
        if at == counters.used:
            if not self.grow(counters, sizeof(Entry) + 2 * capacity):
                return NULL
            entry = entry_at(counters, at)
            memset(entry, 0, sizeof(Entry))
            entry.key, entry.capacity, entry.row, entry.epoch = key, capacity, row, ~counters.epoch
            self.records += 1
        elif entry_at(counters, at).capacity < capacity:
            size = size_of(entry_at(counters, at))
            if not self.grow(counters, 2 * (capacity - entry_at(counters, at).capacity)):
                return NULL
            entry = entry_at(counters, at)
            memmove(counters.entries + at + sizeof(Entry) + 2 * capacity, counters.entries + at + size,
                    counters.used - at - sizeof(Entry) - 2 * capacity)
            memmove(<uint8_t*>(entry + 1) + capacity, body_of(entry, 1), entry.capacity)
            entry.capacity = capacity
        position[0] = at + size_of(entry_at(counters, at))
        return entry_at(counters, at)

    cdef bint grow(self, Counters* counters, uint64_t more) noexcept nogil:
        """Make counters `more` bytes longer; 0 at the bound."""
        cdef uint8_t* grown
        if self.bytes + more > self.max_bytes or counters.used + more > MOST_OF_SOURCE:
            return 0
        grown = <uint8_t*>realloc(counters.entries, counters.used + more)
        if grown == NULL:
            return 0
        counters.entries = grown
        counters.used += <uint32_t>more
        self.bytes += more
        return 1

    cdef void note_changed(self, uint32_t source) noexcept nogil:
        if not self.by_source[source].changed and self.changed_count < MOST_CHANGED:
            self.by_source[source].changed = 1
            self.changed[self.changed_count] = source
            self.changed_count += 1

    cdef void clear_changed(self) noexcept nogil:
        """Begin a new list of data sources."""
        cdef uint32_t i
        for i in range(self.changed_count):
            self.by_source[self.changed[i]].changed = 0
        self.changed_count = 0

    cdef void forget(self, Counters* counters) noexcept nogil:
        cdef uint32_t at = 0
        while at < counters.used:
            at += size_of(entry_at(counters, at))
            self.records -= 1
        self.bytes -= counters.used
        free(counters.entries)
        counters.entries = NULL
        counters.used = counters.sequence = counters.uptime = 0
        counters.interval = 0.0

    # -- for Python; the pipeline's lock is held --

    def expire(self, uint32_t position, double now) -> int:
        """Forget data sources that fell silent, from `position` on; answers where to go on, 0 at the end."""
        cdef Counters* counters
        cdef uint32_t source, end = min(self.capacity, position + SOURCES_AT_ONCE)
        for source in range(position, end):
            counters = &self.by_source[source]
            if counters.used and now - counters.updated > stale_after(counters):
                self.forget(counters)
        return end if end < self.capacity else 0

    def watch(self, tags) -> None:
        """The (enterprise, format) of the records that the pipeline shall report; KeyError: no such structure."""
        cdef const Row* row
        memset(self.watched, 0, COUNTER_TABLE.count)
        for enterprise, form in tags:
            row = find(&COUNTER_TABLE, enterprise << 12 | form)
            if row == NULL:
                raise KeyError((enterprise, form))
            self.watched[row - COUNTER_TABLE.rows] = 1

    def drop(self, sources) -> None:
        """Forget data sources that are gone; whoever gets their indexes begins anew."""
        cdef uint32_t source
        for source in sources:
            if source < self.capacity:
                self.forget(&self.by_source[source])

    def trim(self, uint32_t count) -> None:
        """Give back memory behind the first `count` data sources: the others are gone."""
        cdef Counters* less
        cdef uint32_t source, capacity = 2 * count + 64
        if self.capacity <= 2 * capacity:
            return
        for source in range(capacity, self.capacity):
            self.forget(&self.by_source[source])
        less = <Counters*>realloc(self.by_source, capacity * sizeof(Counters))
        if less != NULL:
            self.by_source, self.capacity = less, capacity

    @property
    def table_bytes(self) -> int:
        """What is there once per data source, beside the `bytes` of records."""
        return self.capacity * sizeof(Counters)

    def sources(self, uint32_t first, uint32_t count) -> list[int]:
        """Those of `count` data sources from `first` on that sent counters."""
        return [source for source in range(first, min(first + count, self.capacity)) if self.by_source[source].used]

    def version(self, uint32_t source) -> int:
        """A number that changes with every sample of a data source; 0 when nothing is known of it."""
        return self.by_source[source].version if source < self.capacity and self.by_source[source].used else 0

    def read(self, uint32_t source) -> tuple[float, list]:
        """(seconds after which values are stale, [(tag, time, body, time before, body before or None)])."""
        cdef Counters* counters = &self.by_source[source]
        cdef Entry* entry
        cdef uint32_t at = 0, other
        found = []
        if source >= self.capacity:
            return STALE_AT_FIRST_S, found
        while at < counters.used:
            entry = entry_at(counters, at)
            other = entry.newest ^ 1
            body = (<const char*>body_of(entry, entry.newest))[:entry.length[entry.newest]]
            before = (<const char*>body_of(entry, other))[:entry.length[other]] if entry.earlier else None
            found.append((((<uint32_t>entry.key) >> 12, entry.key & 0xFFF), entry.time[entry.newest], body,
                          entry.time[other], before))
            at += size_of(entry)
        return stale_after(counters), found
