"""Accumulate, decay, watch and log the flows of one definition.

The value of an entry is a rate: it decays by exp(-dt/t), and a sample of x bytes at 1-in-N adds x*N/t, so a steady
flow settles at its true rate and a flow that starts reaches 63 % of it after t (sflow-rt-api.md 2.2). An entry is
only touched by its own samples; reading decays to the asked time, and `expire` drops what has been idle for long.
Definitions with other values than one rate have a State in each entry (statistics.pyx), of which the first is the
value; one that is no rate stays as it is until the next sample, or until the entry is dropped.

Limits are checked in the same update, with one number per limit and entry that was above it, or per limit and data
source when not by flow: `clear`, the time at which the value falls below the limit if no further sample comes:
now + t*ln(value/limit). A sample that finds the value above the limit after `clear + timeout` has found it armed, which
means it stayed below for `timeout` seconds: the limit is crossed. No scan, no timer, no state machine. By data source,
`clear` is the latest of its flows. By flow, what crossed is an *elephant* until `clear + timeout`, and its samples are
added up beside `clear`: also those that find it below the limit for a while, but none that finds it below the limit's
`floor`, value * exp(-timeout/t), because by then it has ended.

A definition that logs keeps a *flow record* behind each value: first and last sample and their sum, undecayed. A record
ends when its next sample would be `active_s` or more after its first or IDLE_S after its last one; at a look of
`expire` that finds the same; with a FIN or RST, where keys identify the connection; and with the entry. The next
sample begins another, so every sample is in exactly one record, and those of one entry do not overlap. The entry of an
open record stays, however far its rate has decayed, unless memory is short. The rate of a definition that logs is
always above `lowest`, so others do nothing for it. When Python cannot be told (the notices are full), a record goes on
instead.

Memory is bounded. When the entries' table is full, a key that was not seen before is refused. One that is seen again
takes the place of the weakest entry near by that is of an agent with more entries than its own, or of one with as many
and has a lower rate than this sample alone. So keys that never repeat push out nothing, and an agent with many keys
pushes out no flow of one with few. Computed keys go when they are not used; a key id is told as unused when neither
entries nor computed keys have it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport INFINITY, exp, log as ln
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from analytics.core.flows.flowkeys cimport RATE, compile_plan
from analytics.core.flows.statistics cimport Observation, figure, take_in
from analytics.core.seenonce cimport seen_once_close, seen_once_open, was_seen_once
from analytics.core.table cimport (
    Segment, cell_near, cell_of, cell_with, digest, find, insert, payload_of, remove, replace, segment_at, shrink,
    table_close, table_open, was_met,
)
from analytics.core.ledger cimport LIVE, Ledger

cdef double IDLE_CONSTANTS = 12.0                   # an entry idle for 12 t holds less than 1e-5 of its value
cdef double CROWDED_CONSTANTS = 3.0                 # above 7/8 of the bound, or if they never fade, they go after 3 t
cdef double SHORTEST_IDLE_S = 2.0
cdef double IDLE_S = 15.0                           # a flow record without samples ends: NetFlow's usual time-out
cdef enum:
    NEAR_BY = 16                                    # entries that one of is displaced
    NEWCOMER_TAGS = 1 << 18
    UNUSED_SWEEPS = 4                               # after so many a computed key goes
    CLEARS_SHARE = 16                               # a limit's `clear` times take at most one of so many parts of bytes

cdef packed struct PackedElephant:
    uint32_t source, key_id
    double rate, peak, first
    Span span

ELEPHANT = "=II6dQ"                                 # the same for Python's struct; a span: start, last, total, samples


cdef class FlowCache:
    """`program`: a compiled definition, of at most `max_entries` entries in `max_bytes`; computed keys take at most a
    quarter of that beside them. Callers hold the pipeline's lock."""

    def __cinit__(self, program, uint64_t max_entries, uint64_t max_bytes, Ledger ledger not None, uint64_t seed):
        cdef uint32_t payload
        self.program = program
        self.ledger = ledger
        self.t = program.t
        self.gain = 1.0 / self.t
        self.logs, self.flow_start, self.active_s = program.log, program.flow_start, program.active_timeout
        self.note_lowest()
        compile_plan(&self.plan, program)
        self.fading = self.gain if self.plan.value_count == 0 or self.plan.values[0].statistic == RATE else 0.0
        self.state_at = sizeof(Value) + self.logs * sizeof(Span)
        payload = self.state_at + (8 * self.plan.state_words if self.plan.value_count else 0)
        if not (table_open(&self.key_ids, self.plan.computed_words, sizeof(KeyId), ~<uint64_t>0, max_bytes // 4, seed)
                and table_open(&self.uses, 1, 8, ~<uint64_t>0, ~<uint64_t>0, seed)
                and table_open(&self.flows, 1 + self.plan.carried_words, payload, max_entries, max_bytes, seed)):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i
        table_close(&self.key_ids)
        table_close(&self.uses)
        table_close(&self.flows)
        seen_once_close(&self.newcomers)
        free(self.seen)
        free(self.held)
        free(self.idle)
        for i in range(self.limit_count):
            free(self.limits[i].accepts)
            table_close(&self.limits[i].clears)

    def bound(self, uint64_t max_bytes) -> None:
        """Take at most so much memory from now on; what is there already goes as it becomes idle."""
        self.flows.max_bytes, self.key_ids.max_bytes = max_bytes, max_bytes // 4

    cdef bint reserve(self, uint32_t source) noexcept nogil:
        """Have capacity for all data sources and agents that there are; 0 when memory is short."""
        cdef uint32_t sources = self.ledger.source_capacity, agents = self.ledger.agent_capacity, i
        cdef void* grown
        if source >= self.source_capacity:
            grown = realloc(self.seen, sources * sizeof(double))
            if grown == NULL:
                return 0
            self.seen = <double*>grown
            memset(self.seen + self.source_capacity, 0, (sources - self.source_capacity) * sizeof(double))
            for i in range(self.limit_count):
                if self.limits[i].accepts != NULL:
                    grown = realloc(self.limits[i].accepts, sources)
                    if grown == NULL:
                        return 0
                    self.limits[i].accepts = <uint8_t*>grown
                    memset(self.limits[i].accepts + self.source_capacity, 0, sources - self.source_capacity)
            self.source_capacity = sources
        if self.ledger.sources[source].agent >= self.agent_capacity:
            grown = realloc(self.held, agents * sizeof(uint32_t))
            if grown == NULL:
                return 0
            self.held = <uint32_t*>grown
            memset(self.held + self.agent_capacity, 0, (agents - self.agent_capacity) * sizeof(uint32_t))
            self.agent_capacity = agents
        return 1

    cdef bint update(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil:
        """Add a sample to the entry `key`, given its digest; word 0 is source | key id << 32, then carried bytes.

        What is rare is done by others, called last, so that the common case needs few registers.
        """
        cdef uint32_t source = <uint32_t>key[0]
        cdef Value* value = <Value*>find(&self.flows, key, hash)
        if value == NULL or source >= self.source_capacity:
            return self.enter(key, hash, amount, now)
        add_up(self, value, source, amount, now)
        return 1

    cdef bint enter(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil:
        """The same for an entry, or a data source, that is not there yet; 0 when it is refused."""
        if self.place(key, hash, amount, now) == NULL:
            return 0
        return self.update(key, hash, amount, now)

    cdef Value* place(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil:
        """The entry of a key, made if it is not there yet and has or can be given room; NULL when it is refused."""
        cdef uint8_t* payload
        if not self.reserve(<uint32_t>key[0]):
            return NULL
        payload = find(&self.flows, key, hash)
        if payload != NULL:
            return <Value*>payload
        payload = insert(&self.flows, key, hash)
        if payload == NULL and self.came_before(hash):
            payload = self.displace(key, hash, amount, now)
        if payload == NULL:
            self.refused += 1
            return NULL
        (<Value*>payload).last = now
        self.held[self.ledger.sources[<uint32_t>key[0]].agent] += 1
        self.hold(<uint32_t>(key[0] >> 32))
        return <Value*>payload

    cdef bint observe(self, const uint64_t* key, uint64_t hash, const Observation* seen, double now) noexcept nogil:
        """What `update` does, in a definition with statistics."""
        cdef double amount = seen.numbers[0] * (seen.weight if self.fading else self.t), faded = 1.0, weight
        cdef Value* value = self.place(key, hash, amount, now)
        if value == NULL:
            return 0
        if now > value.last:
            faded = exp((value.last - now) * self.gain)
            value.last = now
        take_in(&self.plan, state_of(self, value), seen, faded, self.gain, now, self.t)
        figure(&self.plan, state_of(self, value), 0, &value.rate, &weight)
        self.seen[<uint32_t>key[0]] = now
        if value.rate > self.lowest:
            self.watch(<uint64_t*>value - self.flows.words, value, amount, now)
        return 1

    cdef bint came_before(self, uint64_t hash) noexcept nogil:
        """Whether a key that there is no room for came lately; notes it. The filter is made when it is needed."""
        if self.newcomers.tags == NULL and not seen_once_open(&self.newcomers, NEWCOMER_TAGS):
            return 0
        return was_seen_once(&self.newcomers, hash)

    cdef uint8_t* displace(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil:
        """Put a key in the place of the weakest near by, of an agent with more entries or with as many; NULL: no."""
        cdef uint32_t own = self.held[self.ledger.sources[<uint32_t>key[0]].agent], held, i
        cdef uint64_t* cell
        cdef uint64_t* weakest = NULL
        cdef double rate, lowest = INFINITY
        cdef Value* value
        for i in range(NEAR_BY):
            cell = cell_near(&self.flows, hash, i)
            if cell[0] == 0:
                continue
            value = <Value*>payload_of(&self.flows, cell)
            held = self.held[self.ledger.sources[<uint32_t>cell[1]].agent]
            rate = value.rate * exp(min(value.last - now, 0.0) * self.fading)
            if rate < lowest and (held > own or (held == own and rate < amount * self.gain)):
                lowest, weakest = rate, cell
        if weakest == NULL or not self.release(weakest):
            return NULL
        self.displaced += 1
        return replace(&self.flows, weakest, key, hash)

    cdef bint release(self, uint64_t* cell) noexcept nogil:
        """Let an entry go, with which its record ends; 0: not now."""
        cdef Value* value = <Value*>payload_of(&self.flows, cell)
        if self.is_under_way(cell + 1, cell[0]) or (self.logs and not self.end_record(cell + 1, <Span*>(value + 1))):
            return 0
        self.note_left(cell + 1)
        return 1

    cdef void note_left(self, const uint64_t* key) noexcept nogil:
        """An entry goes."""
        self.held[self.ledger.sources[<uint32_t>key[0]].agent] -= 1
        self.let_go(<uint32_t>(key[0] >> 32))

    cdef Notice* notice(self, Kind kind, const uint64_t* key) noexcept nogil:
        """The next notice, about an entry; NULL: there are too many."""
        cdef Notice* it
        if self.notices.count == self.notices.capacity:
            return NULL
        it = &self.notices.items[self.notices.count]
        self.notices.count += 1
        it.kind, it.cache = kind, <void*>self
        it.source, it.key_id = <uint32_t>key[0], <uint32_t>(key[0] >> 32)
        memcpy(it.key, key + 1, 8 * self.plan.carried_words)
        return it

    # -- flow records --

    cdef void log(self, const uint64_t* key, Span* record, double amount, double now) noexcept nogil:
        """Add a sample to the record of an entry, or to a new one."""
        cdef Notice* notice
        if is_due(self, record, now):
            self.end_record(key, record)
        if record.samples:
            extend(record, amount, now)
            return
        begin(record, amount, max(now, record.last))
        if self.flow_start:
            notice = self.notice(RECORDED, key)
            if notice == NULL:
                self.notices.lost[<int>RECORDED] += 1
            else:
                notice.span = record[0]

    cdef bint end_record(self, const uint64_t* key, Span* record) noexcept nogil:
        """End a record, if one is open; 0: there is no room to tell, it goes on."""
        cdef Notice* notice
        if record.samples and not self.flow_start:  # else it was told when it began
            notice = self.notice(RECORDED, key)
            if notice == NULL:
                return 0
            notice.span = record[0]
        record.samples = 0
        return 1

    cdef void end_connection(self, const uint64_t* key, uint64_t hash) noexcept nogil:
        """The last packet of a connection was seen."""
        cdef Value* value = <Value*>find(&self.flows, key, hash)
        if value != NULL:
            self.end_record(key, <Span*>(value + 1))

    # -- computed keys --

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
            move_down(self.idle, count, self.idle_count)
        else:
            free(self.idle)
            self.idle, self.idle_capacity = NULL, 0
        return found

    cdef KeyId* computed_key(self, const uint64_t* computed, uint64_t hash) noexcept nogil:
        """What computed (raw) fields became; NULL: never seen, or the names have changed."""
        cdef KeyId* found = <KeyId*>find(&self.key_ids, computed, hash)
        if found == NULL or found.names != self.names:
            return NULL
        found.unused = 0
        return found

    cdef void remember(self, const uint64_t* computed, uint64_t hash, uint32_t key_id) noexcept nogil:
        """Store the key id of computed (raw) fields; 0 is a rejection. In a full table it takes the place of one that
        is not used, if there is one near by."""
        cdef KeyId* it = <KeyId*>find(&self.key_ids, computed, hash)
        cdef uint64_t* cell
        cdef uint32_t i
        if it == NULL:
            it = <KeyId*>insert(&self.key_ids, computed, hash)
            i = 0
            while it == NULL and i < NEAR_BY:
                cell = cell_near(&self.key_ids, hash, i)
                if cell[0] == 0:
                    return
                if (<KeyId*>payload_of(&self.key_ids, cell)).unused:
                    self.let_go((<KeyId*>payload_of(&self.key_ids, cell)).number)
                    it = <KeyId*>replace(&self.key_ids, cell, computed, hash)
                i += 1
            if it == NULL:
                return
        else:
            self.let_go(it.number)
        it[0] = KeyId(key_id, self.names, 0)
        self.hold(key_id)

    def forget_key_ids(self) -> None:
        """Names have changed (topology): compute every key anew."""
        self.names += 1
        self.key_ids.generation += 1

    # -- limits --

    cdef void watch(self, const uint64_t* key, Value* value, double amount, double now) noexcept nogil:
        """Log a sample, and check the limits of the entry that has just changed; `clear` times follow its value."""
        cdef uint32_t i
        if self.logs:
            self.log(key, <Span*>(value + 1), amount, now)
        for i in range(self.limit_count):
            if value.rate > self.limits[i].floor:
                self.above(i, key, value, amount, now)

    cdef void above(self, uint32_t index, const uint64_t* key, const Value* value, double amount,
                    double now) noexcept nogil:
        """The value is above the floor of limit `index`. Above the limit itself: it is crossed if it was armed; note
        when it will have cleared. By flow the sample counts for what is under way."""
        cdef Limit* limit = &self.limits[index]
        cdef uint32_t source = <uint32_t>key[0]
        cdef uint64_t of_source = source
        cdef const uint64_t* what = key if limit.by_flow else &of_source
        cdef uint64_t hash
        cdef double* clear
        cdef double falls
        cdef Notice* crossing
        cdef Elephant* elephant
        if limit.accepts != NULL and not limit.accepts[source]:
            return
        hash = (key - 1)[0] if limit.by_flow else digest(&limit.clears, what)  # a cell begins with the hash of its key
        clear = <double*>find(&limit.clears, what, hash)
        if value.rate <= limit.value:
            if clear != NULL and now < clear[0] + limit.timeout:
                extend(&(<Elephant*>clear).span, amount, now)
            return
        if clear == NULL:
            clear = <double*>insert(&limit.clears, what, hash)
            if clear == NULL:
                self.notices.lost[<int>CROSSED] += 1
                return
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
            crossing = self.notice(CROSSED, key)
            if crossing == NULL:
                self.notices.lost[<int>CROSSED] += 1
            else:
                crossing.limit, crossing.rate, crossing.first = index, value.rate, amount
                begin(&crossing.span, amount, now)
                self.note_others(value, crossing)
        if self.fading == 0:
            falls = now
        else:
            falls = INFINITY if limit.value <= 0 else value.last + self.t * ln(value.rate / limit.value)
        if falls > clear[0]:
            clear[0] = falls

    cdef void note_others(self, const Value* value, Notice* notice) noexcept nogil:
        """The values of a flow beside the one that crossed a limit."""
        cdef double weight
        cdef uint32_t i
        notice.others = 0
        for i in range(1, self.plan.value_count):
            if figure(&self.plan, state_of(self, value), i, &notice.values[i], &weight):
                notice.others |= <uint32_t>1 << i

    cdef void note_cleared(self, uint32_t index, const uint64_t* key, const Elephant* elephant) noexcept nogil:
        """An elephant has ended, if there was one."""
        cdef Notice* notice
        if elephant.span.samples == 0:
            return
        notice = self.notice(CLEARED, key)
        if notice == NULL:
            self.notices.lost[<int>CLEARED] += 1
            return
        notice.limit, notice.rate, notice.first, notice.span = index, elephant.peak, elephant.first, elephant.span
        notice.others = 0

    cdef bint is_under_way(self, const uint64_t* key, uint64_t hash) noexcept nogil:
        """Whether an entry is an elephant whose end will be told; it never is if the limit is not above 0."""
        cdef uint32_t i
        cdef const double* clear
        for i in range(self.limit_count):
            if self.limits[i].by_flow and self.limits[i].clears.segments != NULL:
                clear = <const double*>find(&self.limits[i].clears, key, hash)
                if clear != NULL and clear[0] < INFINITY:
                    return 1
        return 0

    def elephants(self, uint32_t index, uint64_t position, double now) -> tuple[int, bytes]:
        """Those of a limit by flow in one segment, packed: (where to go on, 0 when through; ELEPHANT and the carried
        bytes of each)."""
        cdef Limit* limit
        cdef Segment segment
        cdef uint64_t* cell
        cdef uint64_t slot
        cdef Elephant* it
        cdef Value* value
        cdef uint32_t carried = 8 * self.plan.carried_words, size = sizeof(PackedElephant) + carried
        cdef uint8_t* out
        cdef PackedElephant* row
        if index >= self.limit_count or not self.limits[index].by_flow or self.limits[index].clears.segments == NULL:
            return 0, b""
        limit = &self.limits[index]
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
                value = <Value*>find(&self.flows, cell + 1, cell[0])
                row = <PackedElephant*>out
                row.source, row.key_id = <uint32_t>cell[1], <uint32_t>(cell[1] >> 32)
                row.rate = 0.0 if value == NULL else value.rate * exp(min(value.last - now, 0.0) * self.fading)
                row.peak, row.first, row.span = it.peak, it.first, it.span
                memcpy(out + sizeof(PackedElephant), cell + 2, carried)
                out += size
        return segment.after, packed[:out - <uint8_t*>PyBytes_AS_STRING(packed)]

    def add_limit(self, double value, double timeout, bint by_flow, bint filtered) -> int:
        """Watch a limit, which rates above it cross; answers its index.

        `filtered`: only data sources given to `accept` count.
        OverflowError: there are MOST_LIMITS already.
        """
        cdef uint32_t index = 0
        cdef Limit* limit
        while index < self.limit_count and self.limits[index].value != INFINITY:
            index += 1
        if index == MOST_LIMITS:
            raise OverflowError(f"more than {MOST_LIMITS} thresholds on one flow")
        limit = &self.limits[index]
        memset(limit, 0, sizeof(Limit))
        limit.value, limit.timeout, limit.by_flow = value, timeout, by_flow
        limit.floor = value * exp(-timeout * self.gain) if by_flow and value > 0 and self.fading else value
        if not table_open(&limit.clears, self.flows.words if by_flow else 1,
                          sizeof(Elephant) if by_flow else sizeof(double), ~<uint64_t>0,
                          self.flows.max_bytes // CLEARS_SHARE, self.flows.seed):
            raise MemoryError
        if filtered:
            limit.accepts = <uint8_t*>calloc(self.source_capacity + 1, 1)
            if limit.accepts == NULL:
                raise MemoryError
        self.limit_count = max(self.limit_count, index + 1)
        self.note_lowest()
        return index

    def accept(self, uint32_t limit, uint32_t source, bint accepted) -> None:
        """Say whether a data source passes the filter of a limit."""
        if source >= self.ledger.source_count:
            raise IndexError(f"no data source {source}")
        if not self.reserve(source):
            raise MemoryError
        if limit >= self.limit_count or self.limits[limit].accepts == NULL:
            raise IndexError(f"limit {limit} has no filter")
        self.limits[limit].accepts[source] = accepted

    def drop_limit(self, uint32_t index) -> None:
        """Stop watching a limit; its index may be given to another."""
        cdef Limit* limit
        if index >= self.limit_count:
            raise IndexError(f"no limit {index}")
        limit = &self.limits[index]
        free(limit.accepts)
        table_close(&limit.clears)
        memset(limit, 0, sizeof(Limit))
        limit.value = limit.floor = INFINITY
        self.note_lowest()

    cdef void note_lowest(self) noexcept:
        """The lowest floor; infinite if there is no limit, and no rate is so low when all samples are logged."""
        cdef uint32_t i
        self.lowest = -INFINITY if self.logs else INFINITY
        for i in range(self.limit_count):
            self.lowest = min(self.lowest, self.limits[i].floor)

    # -- going: between batches --

    def last_seen(self, uint32_t source) -> float:
        """When a sample of this data source last counted; 0.0: never."""
        return self.seen[source] if source < self.source_capacity else 0.0

    def expire(self, uint64_t position, double now) -> int:
        """Drop from one segment the entries that are idle, and those of data sources that are gone, and end the records
        that are due; answers where to go on, 0 when through. Stops early to have the notices reported."""
        cdef Segment segment = segment_at(&self.flows, position)
        cdef uint64_t after = segment.after, slot = 0
        cdef bint crowded = (self.flows.used * 8 >= self.flows.capacity * 7
                             or self.flows.bytes * 8 >= self.flows.max_bytes * 7)
        cdef double constants = CROWDED_CONSTANTS if crowded or self.fading == 0 else IDLE_CONSTANTS
        cdef double idle = max(constants * self.t, SHORTEST_IDLE_S)
        cdef uint64_t* cell
        cdef Value* value
        cdef Span* record
        with nogil:
            while slot < self.flows.cells:
                cell = cell_of(&self.flows, segment.start, slot)
                if cell[0] == 0:
                    slot += 1
                    continue
                if self.notices.count * 2 >= self.notices.capacity:
                    after = segment.first | 1       # the same segment: what was done there is not done again
                    break
                value = <Value*>payload_of(&self.flows, cell)
                record = <Span*>(value + 1)
                if self.ledger.sources[<uint32_t>cell[1]].life != LIVE:
                    if self.logs:
                        self.end_record(cell + 1, record)
                    self.note_left(cell + 1)
                    remove(&self.flows, cell)  # may pull a neighbour into this slot: look again
                    continue
                if self.logs and is_due(self, record, now):
                    self.end_record(cell + 1, record)
                if (now - value.last > idle and (crowded or not self.logs or record.samples == 0)
                        and self.release(cell)):
                    remove(&self.flows, cell)
                else:
                    slot += 1
            shrink(&self.flows)
        return after

    def expire_clears(self, uint32_t index, uint64_t position, double now) -> int:
        """The same for the `clear` times of a limit that are armed again, which ends elephants."""
        cdef Limit* limit
        cdef Segment segment
        cdef uint64_t* cell
        cdef uint64_t after, slot = 0
        if index >= self.limit_count or self.limits[index].clears.segments == NULL:
            return 0
        limit = &self.limits[index]
        segment = segment_at(&limit.clears, position)
        after = segment.after
        with nogil:
            while slot < limit.clears.cells:
                cell = cell_of(&limit.clears, segment.start, slot)
                if self.notices.count * 2 >= self.notices.capacity:
                    after = segment.first | 1
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

    def sweep(self, uint64_t position) -> int:
        """The same for the computed keys that were not used for some sweeps; call it some seconds apart."""
        cdef Segment segment = segment_at(&self.key_ids, position)
        cdef uint64_t slot = 0
        cdef uint64_t* cell
        cdef KeyId* it
        with nogil:
            while slot < self.key_ids.cells:
                cell = cell_of(&self.key_ids, segment.start, slot)
                if cell[0] and not was_met(&segment, position, cell[0]):
                    it = <KeyId*>payload_of(&self.key_ids, cell)
                    it.unused += 1
                    if it.unused > UNUSED_SWEEPS or it.names != self.names:
                        self.let_go(it.number)
                        remove(&self.key_ids, cell)
                        continue
                slot += 1
            shrink(&self.key_ids)
            shrink(&self.uses)
        if position == 0 and self.refused == self.refused_before:
            seen_once_close(&self.newcomers)
        self.refused_before = self.refused
        return segment.after

    def forget_sources(self, sources) -> None:
        """Data sources whose indexes get new owners; their entries are gone already."""
        cdef uint32_t source, i
        for source in sources:
            if source < self.source_capacity:
                self.seen[source] = 0.0
                for i in range(self.limit_count):
                    if self.limits[i].accepts != NULL:
                        self.limits[i].accepts[source] = 0

    @property
    def carried_bytes(self) -> int:
        """Of a key."""
        return 8 * self.plan.carried_words

    @property
    def limits_used(self) -> int:
        """One more than the highest index of a limit."""
        return self.limit_count

    def numbers(self) -> dict:
        """Entries in use, refusals, entries that had to make room, remembered computed keys; bytes of everything."""
        cdef uint32_t i
        cdef uint64_t clears = 0
        for i in range(self.limit_count):
            clears += self.limits[i].clears.bytes
        return {"entries": self.flows.used, "refused": self.refused, "displaced": self.displaced,
                "key_ids": self.key_ids.used,
                "bytes": (self.flows.bytes + self.key_ids.bytes + self.uses.bytes + clears
                          + (2 * NEWCOMER_TAGS if self.newcomers.tags != NULL else 0)
                          + 8 * self.source_capacity + 4 * self.agent_capacity + 4 * self.idle_capacity)}


cdef inline bint is_due(FlowCache cache, const Span* record, double now) noexcept nogil:
    """Whether a record is open and a sample now would belong to the next one."""
    return record.samples and (now - record.start >= cache.active_s or now - record.last >= IDLE_S)


cdef inline void begin(Span* span, double amount, double now) noexcept nogil:
    """The first sample."""
    span.start = span.last = now
    span.total, span.samples = amount, 1


cdef inline void extend(Span* span, double amount, double now) noexcept nogil:
    """One more sample."""
    span.last = max(span.last, now)
    span.total += amount
    span.samples += 1


cdef void move_down(uint32_t* items, uint32_t by, uint32_t count) noexcept nogil:
    """Move `count` items down by `by` places."""
    cdef uint32_t i
    for i in range(count):
        items[i] = items[i + by]
