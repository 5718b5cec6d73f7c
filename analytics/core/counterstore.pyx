"""Counter samples are kept as they came: a copy without the GIL; analytics.metrics.counters makes metrics of them when asked.

Every data source has a sheet, one block of memory with an entry per record in the order in which the agent sends them,
so that a sample is one walk forward. An entry has the newest body and the one before it, because a rate needs two. Both
are of one life of the agent: when its sequence or uptime goes back, or our own clock, what came before is no
predecessor any more. Two samples at one time count as one, the later. A record that is shorter than its structure is a
fault and what it has is kept; unknown ones are left out.

Agents choose data sources and records, so memory is bounded: at `most` bytes new records are refused and counted, as
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
    MOST_QUEUES = 256                               # of a port; metrics are named after them
    FAR = 65536                                     # a sequence that jumps further is another life's
    UPTIME_SLACK_MS = 60000                         # so much further than twice ours may an agent's clock go
    SHEETS_AT_ONCE = 65536                          # looked at by one call of `expire`

cdef double STALE_INTERVALS = 3.5                   # times the interval without an update
cdef double STALE_AT_LEAST_S = 30.0
cdef double STALE_AT_FIRST_S = 120.0                # before the interval is known


cdef inline Entry* entry_at(const Sheet* sheet, uint32_t place) noexcept nogil:
    return <Entry*>(sheet.entries + place)


cdef inline uint32_t size_of(const Entry* entry) noexcept nogil:
    return <uint32_t>sizeof(Entry) + 2 * entry.room


cdef inline uint8_t* body_of(Entry* entry, uint32_t which) noexcept nogil:
    return <uint8_t*>(entry + 1) + which * entry.room


cdef uint32_t readable(const Row* row, const Window* record, bint* whole) noexcept nogil:
    """How many bytes of a record have whole fields; `whole`: none is missing."""
    cdef Window[MOST_FIELDS] fields
    cdef int count
    whole[0] = 1
    if row.size and left(record) >= row.size:
        return row.size
    count = locate(row, record[0], fields, whole)
    return <uint32_t>(fields[count - 1].end - record.at) if count else 0


cdef bint restarted(const Sheet* sheet, uint32_t sequence, uint32_t uptime, double now) noexcept nogil:
    """Whether a sample is of another life of the agent. Sequence and uptime may wrap in the same life."""
    cdef double elapsed_ms = (now - sheet.updated) * 1000
    if sequence < sheet.sequence and <uint32_t>(sequence - sheet.sequence) >= FAR:
        return 1
    return uptime < sheet.uptime and <uint32_t>(uptime - sheet.uptime) > 2 * elapsed_ms + UPTIME_SLACK_MS


cdef double write(Entry* entry, uint32_t life, const uint8_t* body, uint32_t length, double now) noexcept nogil:
    """Put a body in place of the older one; answers the seconds since the newest of the same life."""
    cdef double seconds = 0.0
    if entry.life != life or now < entry.time[entry.newest]:
        entry.earlier = 0
    elif now > entry.time[entry.newest]:
        seconds = now - entry.time[entry.newest]
        entry.earlier = 1
        entry.newest ^= 1
    memcpy(body_of(entry, entry.newest), body, length)
    entry.length[entry.newest], entry.time[entry.newest], entry.life = length, now, life
    return seconds


cdef double stale_after(const Sheet* sheet) noexcept nogil:
    """Seconds after which a value that was not renewed is gone."""
    if sheet.interval == 0.0:
        return STALE_AT_FIRST_S
    return max(STALE_INTERVALS * sheet.interval, STALE_AT_LEAST_S)


cdef class CounterStore:
    def __cinit__(self, uint64_t most):
        self.most = most
        self.watched = <uint8_t*>calloc(COUNTER_TABLE.count, 1)
        self.told = <uint32_t*>malloc(TOLD_ROOM * sizeof(uint32_t))
        if not (self.watched and self.told):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t source
        for source in range(self.room):
            free(self.sheets[source].entries)
        free(self.sheets)
        free(self.watched)
        free(self.told)

    cdef uint32_t keep(self, uint32_t source, const CounterSample* sample, uint32_t uptime, double now) noexcept nogil:
        """Keep the records of a sample that is newer than all before it; answers the faults in them."""
        cdef CounterSample rest = sample[0]
        cdef Sheet* sheet = self.sheet(source)
        cdef const Row* row
        cdef Entry* entry
        cdef Window record
        cdef uint64_t key
        cdef uint32_t tag = 0, place = 0, length, faults = 0
        cdef double interval = 0.0
        cdef bint whole, begun = 0
        while next_record(&rest, &tag, &record, &faults):
            key = tag
            if sheet != NULL and place < sheet.used and <uint32_t>entry_at(sheet, place).key == tag:
                row = &COUNTER_TABLE.rows[entry_at(sheet, place).row]   # as in the sample before
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
            if sheet != NULL and length <= MOST_BODY and key >> 32 < MOST_QUEUES:
                entry = self.entry(sheet, key, <uint32_t>(row - COUNTER_TABLE.rows), length, &place)
            if entry == NULL:
                self.refused += 1
                continue
            if not begun:
                begun = 1
                sheet.life += restarted(sheet, sample.sequence, uptime, now)
                sheet.sequence, sheet.uptime, sheet.updated = sample.sequence, uptime, now
                sheet.version += 1
            interval = max(interval, write(entry, sheet.life, record.at, length, now))
            if self.watched[entry.row]:
                self.tell(source)
        if interval > 0.0:
            sheet.interval = interval
        return faults

    cdef Sheet* sheet(self, uint32_t source) noexcept nogil:
        """The sheet of a data source (of at most ledger.MOST_SOURCES); NULL when memory is short."""
        cdef uint32_t room = self.room
        cdef Sheet* grown
        if source >= room:
            room = max(2 * room, source + 64)
            grown = <Sheet*>realloc(self.sheets, room * sizeof(Sheet))
            if grown == NULL:
                return NULL
            memset(grown + self.room, 0, (room - self.room) * sizeof(Sheet))
            self.sheets, self.room = grown, room
        return &self.sheets[source]

    cdef Entry* entry(self, Sheet* sheet, uint64_t key, uint32_t row, uint32_t length, uint32_t* place) noexcept nogil:
        """The entry of a record with room for `length` bytes, made at first sight; NULL when there is no memory for it.

        `place` is where it is looked for first and becomes the place behind it.
        """
        cdef uint32_t room = (length + 7) & ~<uint32_t>7
        cdef uint32_t at = place[0], size
        cdef Entry* entry
        if at >= sheet.used or entry_at(sheet, at).key != key:
            at = 0
            while at < sheet.used and entry_at(sheet, at).key != key:
                at += size_of(entry_at(sheet, at))
        if at == sheet.used:
            if not self.grow(sheet, sizeof(Entry) + 2 * room):
                return NULL
            entry = entry_at(sheet, at)
            memset(entry, 0, sizeof(Entry))
            entry.key, entry.room, entry.row, entry.life = key, room, row, ~sheet.life
            self.records += 1
        elif entry_at(sheet, at).room < room:
            size = size_of(entry_at(sheet, at))
            if not self.grow(sheet, 2 * (room - entry_at(sheet, at).room)):
                return NULL
            entry = entry_at(sheet, at)
            memmove(sheet.entries + at + sizeof(Entry) + 2 * room, sheet.entries + at + size,
                    sheet.used - at - sizeof(Entry) - 2 * room)
            memmove(<uint8_t*>(entry + 1) + room, body_of(entry, 1), entry.room)
            entry.room = room
        place[0] = at + size_of(entry_at(sheet, at))
        return entry_at(sheet, at)

    cdef bint grow(self, Sheet* sheet, uint64_t more) noexcept nogil:
        """Make a sheet `more` bytes longer; 0 at the bound."""
        cdef uint8_t* grown
        if self.bytes + more > self.most:
            return 0
        grown = <uint8_t*>realloc(sheet.entries, sheet.used + more)
        if grown == NULL:
            return 0
        sheet.entries = grown
        sheet.used += <uint32_t>more
        self.bytes += more
        return 1

    cdef void tell(self, uint32_t source) noexcept nogil:
        if not self.sheets[source].told and self.told_count < TOLD_ROOM:
            self.sheets[source].told = 1
            self.told[self.told_count] = source
            self.told_count += 1

    cdef void all_told(self) noexcept nogil:
        """Begin a new list of those to tell about."""
        cdef uint32_t i
        for i in range(self.told_count):
            self.sheets[self.told[i]].told = 0
        self.told_count = 0

    cdef void forget(self, Sheet* sheet) noexcept nogil:
        cdef uint32_t at = 0
        while at < sheet.used:
            at += size_of(entry_at(sheet, at))
            self.records -= 1
        self.bytes -= sheet.used
        free(sheet.entries)
        sheet.entries = NULL
        sheet.used = sheet.sequence = sheet.uptime = 0
        sheet.interval = 0.0

    # -- for Python; the pipeline's lock is held --

    def expire(self, uint32_t place, double now) -> int:
        """Forget data sources that fell silent, from `place` on; answers where to go on, 0 at the end."""
        cdef uint32_t source, end = min(self.room, place + SHEETS_AT_ONCE)
        for source in range(place, end):
            if self.sheets[source].used and now - self.sheets[source].updated > stale_after(&self.sheets[source]):
                self.forget(&self.sheets[source])
        return end if end < self.room else 0

    def watch(self, tags) -> None:
        """The (enterprise, format) of the records whose data sources the pipeline shall tell about."""
        cdef const Row* row
        memset(self.watched, 0, COUNTER_TABLE.count)
        for enterprise, form in tags:
            row = find(&COUNTER_TABLE, enterprise << 12 | form)
            if row == NULL:
                raise KeyError((enterprise, form))
            self.watched[row - COUNTER_TABLE.rows] = 1

    def sources(self) -> list[int]:
        """The data sources that sent counters."""
        return [source for source in range(self.room) if self.sheets[source].used]

    def version(self, uint32_t source) -> int:
        """A number that changes with every sample of a data source; 0 when nothing is known of it."""
        return self.sheets[source].version if source < self.room and self.sheets[source].used else 0

    def read(self, uint32_t source) -> tuple[float, list]:
        """(seconds after which values are stale, [(tag, time, body, time before, body before or None)])."""
        cdef Sheet* sheet = &self.sheets[source]
        cdef Entry* entry
        cdef uint32_t at = 0, other
        found = []
        if source >= self.room:
            return STALE_AT_FIRST_S, found
        while at < sheet.used:
            entry = entry_at(sheet, at)
            other = entry.newest ^ 1
            body = (<const char*>body_of(entry, entry.newest))[:entry.length[entry.newest]]
            before = (<const char*>body_of(entry, other))[:entry.length[other]] if entry.earlier else None
            found.append((((<uint32_t>entry.key) >> 12, entry.key & 0xFFF), entry.time[entry.newest], body,
                          entry.time[other], before))
            at += size_of(entry)
        return stale_after(sheet), found
