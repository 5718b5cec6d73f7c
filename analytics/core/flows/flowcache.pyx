"""Accumulate and decay the flows of one definition.

The value of an entry is a rate: it decays by exp(-dt/t), and a sample of x bytes at 1-in-N adds x*N/t, so a steady
flow settles at its true rate and a flow that starts reaches 63 % of it after t (sflow-rt-api.md 2.2). An entry is
only touched by its own samples; reading decays to the asked time, and `expire` drops what has been idle for long.
Definitions with other values than one rate have a State in each entry (statistics.pyx), of which the first is the
value; one that is no rate stays as it is until the next sample, or until the entry is dropped.

What else is done while values change: limits.pyx, flowrecords.pyx; who computes keys: keyids.pyx.

Memory is bounded. When the entries' table is full, a key that was not seen before is refused. One that is seen again
takes the place of the weakest entry near by that is of an agent with more entries than its own, or of one with as many
and has a lower rate than the key would have if it had lost nothing (as far as known: lost.pyx). So keys that never
repeat push out nothing, a heavy one gets in however light each of its samples is, and an agent with many keys pushes
out no flow of one with few. What values lack for that is known together, and for each key within a bound. A value that
is no rate lacks samples: a maximum or a count may be too low, a minimum too high, an average is of what was kept.
"""

from libc.math cimport INFINITY, exp
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from analytics.core.flows.entry cimport Span, Value, rate_at
from analytics.core.flows.flowkeys cimport KEY_WORDS, RATE, compile_plan
from analytics.core.flows.flowrecords cimport end_record, is_due, log_sample
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.limits cimport Limits
from analytics.core.flows.lost cimport (
    Spot, find_spot, forget_lost, left_at, lose, lose_unkeyed, lost_bytes, most_lost,
)
from analytics.core.flows.notices cimport Notice, Notices, Reporter, are_half_full
from analytics.core.flows.statistics cimport Observation, figure, take_in
from analytics.core.table cimport (
    Segment, cell_near, cell_of, digest, find, insert, payload_of, remove, replace, segment_at, shrink, table_close,
    table_open,
)
from analytics.core.ledger cimport LIVE, Ledger

cdef double IDLE_CONSTANTS = 12.0                   # an entry idle for 12 t holds less than 1e-5 of its value
cdef double CROWDED_CONSTANTS = 3.0                 # above 7/8 of the bound, or if they never fade, they go after 3 t
cdef double SHORTEST_IDLE_S = 2.0
cdef enum:
    NEAR_BY = 16                                    # entries that one of is displaced
    MOST_DROPPED = 2048                             # in one turn of `expire`: each misses the processor's cache


cdef class FlowCache:
    """`program`: a compiled definition, of at most `max_entries` entries in `max_bytes`; computed keys take at most a
    quarter of that beside them. Callers hold the pipeline's lock."""

    def __cinit__(self, program, uint64_t max_entries, uint64_t max_bytes, Ledger ledger not None, uint64_t seed):
        cdef uint32_t payload
        self.program = program
        self.ledger = ledger
        self.t = program.t
        self.gain = self.losses.gain = 1.0 / self.t
        self.logging = Logging(program.log, program.flow_start, program.active_timeout)
        compile_plan(&self.plan, program)
        self.fading = self.gain if self.plan.value_count == 0 or self.plan.values[0].statistic == RATE else 0.0
        self.state_at = sizeof(Value) + self.logging.on * sizeof(Span)
        payload = self.state_at + (8 * self.plan.state_words if self.plan.value_count else 0)
        if not table_open(&self.flows, 1 + self.plan.carried_words, payload, max_entries, max_bytes, seed):
            raise MemoryError
        self.key_ids = KeyIds(self.plan.computed_words, max_bytes // 4, seed)
        self.limits = Limits(ledger, self.t, self.fading)
        self.note_lowest()

    def __dealloc__(self):
        table_close(&self.flows)
        forget_lost(&self.losses)
        free(self.seen)
        free(self.held)

    cdef void report_to(self, Notices* notices) noexcept:
        """Where the notices of this definition go."""
        self.reporter = self.limits.reporter = Reporter(notices, <void*>self, self.plan.carried_words)

    def bound(self, uint64_t max_bytes) -> None:
        """Take at most so much memory from now on; what is there already goes as it becomes idle."""
        self.flows.max_bytes = max_bytes
        self.key_ids.bound(max_bytes // 4)

    cdef bint reserve(self, uint32_t source) noexcept nogil:
        """Have capacity for all data sources and agents that there are; 0 when memory is short."""
        cdef uint32_t sources = self.ledger.source_capacity, agents = self.ledger.agent_capacity
        cdef void* grown
        if source >= self.source_capacity:
            grown = realloc(self.seen, sources * sizeof(double))
            if grown == NULL:
                return 0
            self.seen = <double*>grown
            memset(self.seen + self.source_capacity, 0, (sources - self.source_capacity) * sizeof(double))
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
            self.refuse(amount, now)
            return NULL
        payload = find(&self.flows, key, hash)
        if payload != NULL:
            return <Value*>payload
        payload = insert(&self.flows, key, hash)
        if payload == NULL:
            payload = self.displace(key, hash, amount, now)
            if payload == NULL:
                return NULL
        (<Value*>payload).last = now
        self.held[self.ledger.sources[<uint32_t>key[0]].agent] += 1
        if key[0] >> 32:
            self.key_ids.hold(<uint32_t>(key[0] >> 32))
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

    cdef void refuse(self, double amount, double now) noexcept nogil:
        """Count a sample whose key is not known, because it is not computed."""
        self.refused += 1
        lose_unkeyed(&self.losses, amount * self.fading, now)

    cdef void refuse_observation(self, const Observation* seen, double now) noexcept nogil:
        """The same, in a definition with statistics."""
        self.refuse(seen.numbers[0] * seen.weight, now)

    cdef uint8_t* displace(self, const uint64_t* key, uint64_t hash, double amount, double now) noexcept nogil:
        """Put a key that came before in the place of the weakest near by, of an agent with more entries or with as
        many; NULL: it is refused."""
        cdef uint32_t agent = self.ledger.sources[<uint32_t>key[0]].agent, own = self.held[agent], held, i
        cdef uint64_t* cell
        cdef uint64_t* weakest = NULL
        cdef double rate, lowest = INFINITY
        cdef Value* value
        cdef Spot spot
        if not find_spot(&self.losses, hash, agent, now, self.flows.bytes, &spot):
            self.refuse(amount, now)
            return NULL
        for i in range(NEAR_BY if spot.came_before else 0):
            cell = cell_near(&self.flows, hash, i)
            if cell[0] == 0:
                continue
            value = <Value*>payload_of(&self.flows, cell)
            held = self.held[self.ledger.sources[<uint32_t>cell[1]].agent]
            rate = rate_at(value, now, self.fading)
            if rate < lowest and (held > own or (held == own and rate < spot.most + amount * self.gain)):
                lowest, weakest = rate, cell
        if weakest == NULL or not self.release(weakest):
            self.refused += 1
            lose(&self.losses, &spot, amount * self.fading, now)
            return NULL
        self.lose_rest(weakest, now)
        self.displaced += 1
        return replace(&self.flows, weakest, key, hash)

    cdef void lose_rest(self, const uint64_t* cell, double now) noexcept nogil:
        """An entry goes with what is left of its rate."""
        cdef uint32_t agent = self.ledger.sources[<uint32_t>cell[1]].agent
        cdef double rate = rate_at(<const Value*>(cell + 1 + self.flows.words), now, self.fading)
        cdef Spot spot
        if self.fading == 0:
            return
        if find_spot(&self.losses, cell[0], agent, now, self.flows.bytes, &spot):
            lose(&self.losses, &spot, rate, now)
        else:
            lose_unkeyed(&self.losses, rate, now)

    cdef bint release(self, uint64_t* cell) noexcept nogil:
        """Let an entry go, with which its record ends; 0: not now."""
        cdef Value* value = <Value*>payload_of(&self.flows, cell)
        if self.limits.count and self.limits.is_under_way(cell + 1, cell[0]):
            return 0
        if self.logging.on and not end_record(&self.logging, &self.reporter, cell + 1, <Span*>(value + 1)):
            return 0
        self.note_left(cell + 1)
        return 1

    cdef void note_left(self, const uint64_t* key) noexcept nogil:
        """An entry goes."""
        self.held[self.ledger.sources[<uint32_t>key[0]].agent] -= 1
        if key[0] >> 32:
            self.key_ids.let_go(<uint32_t>(key[0] >> 32))

    cdef void end_connection(self, const uint64_t* key, uint64_t hash) noexcept nogil:
        """The last packet of a connection was seen."""
        cdef Value* value = <Value*>find(&self.flows, key, hash)
        if value != NULL:
            end_record(&self.logging, &self.reporter, key, <Span*>(value + 1))

    cdef void watch(self, const uint64_t* key, Value* value, double amount, double now) noexcept nogil:
        """Log a sample, and check the limits of the entry that has just changed."""
        cdef uint32_t i
        cdef Notice* crossing
        if self.logging.on:
            log_sample(&self.logging, &self.reporter, key, <Span*>(value + 1), amount, now)
        for i in range(self.limits.count):
            if value.rate > self.limits.items[i].floor:
                crossing = self.limits.above(i, key, value, amount, now)
                if crossing != NULL:
                    self.note_others(value, crossing)

    cdef void note_others(self, const Value* value, Notice* notice) noexcept nogil:
        """The values of a flow beside the one that crossed a limit."""
        cdef double weight
        cdef uint32_t i
        notice.others = 0
        for i in range(1, self.plan.value_count):
            if figure(&self.plan, state_of(self, value), i, &notice.values[i], &weight):
                notice.others |= <uint32_t>1 << i

    # -- limits --

    def add_limit(self, double value, double timeout, bint by_flow, bint filtered) -> int:
        """Watch a limit, which rates above it cross; answers its index.

        `filtered`: only data sources given to `accept` count.
        OverflowError: there are MOST_LIMITS already.
        """
        index = self.limits.add(value, timeout, by_flow, filtered, &self.flows)
        self.note_lowest()
        return index

    def add_test(self, double value, double timeout, bint filtered, settings) -> int:
        """Watch a limit by flow that a sequential test finds crossed (sequential.pyx); answers its index. The
        classifier is to be told (`assign`), as when it is dropped.

        `settings` has alpha, beta, separation, fastest and switches. The values of the definition are rates of bytes
        or frames of packets. OverflowError as above.
        """
        index = self.limits.add_test(value, timeout, filtered, settings, self.plan.valued, self.key_ids, &self.flows)
        self.note_lowest()
        return index

    @property
    def is_tested(self) -> bool:
        """Whether a limit is a test, which wants to have each sample."""
        return any(test is not None for test in self.limits.tests)

    def accept(self, uint32_t limit, uint32_t source, bint accepted) -> None:
        """Say whether a data source passes the filter of a limit."""
        self.limits.accept(limit, source, accepted)

    def drop_limit(self, uint32_t index) -> None:
        """Stop watching a limit; its index may be given to another."""
        self.limits.drop(index)
        self.note_lowest()

    cdef void note_lowest(self) noexcept:
        self.lowest = -INFINITY if self.logging.on else self.limits.lowest

    def elephants(self, uint32_t index, uint64_t position, double now) -> tuple[int, bytes]:
        """Those of a limit by flow in one segment, packed: (where to go on, 0 when through; limits.ELEPHANT and the
        carried bytes of each)."""
        return self.limits.elephants(index, position, now, &self.flows)

    def expire_clears(self, uint32_t index, uint64_t position, double now) -> int:
        """What `expire` does, for the `clear` times of a limit that are armed again, which ends elephants."""
        return self.limits.expire(index, position, now)

    @property
    def limits_used(self) -> int:
        """One more than the highest index of a limit."""
        return self.limits.count

    # -- going: between batches --

    def last_seen(self, uint32_t source) -> float:
        """When a sample of this data source last counted; 0.0: never."""
        return self.seen[source] if source < self.source_capacity else 0.0

    def expire(self, uint64_t position, double now) -> int:
        """Drop from one segment the entries that are idle, and those of data sources that are gone, and end the records
        that are due; answers where to go on, 0 when through. Stops early to have the notices reported, and at
        MOST_DROPPED."""
        cdef Segment segment = segment_at(&self.flows, position)
        cdef uint64_t after = segment.after, slot = 0
        cdef uint64_t fewest = self.flows.used - min(self.flows.used, <uint64_t>MOST_DROPPED)
        cdef bint crowded = (self.flows.used * 8 >= self.flows.capacity * 7
                             or self.flows.bytes * 8 >= self.flows.max_bytes * 7)
        cdef double constants = CROWDED_CONSTANTS if crowded or self.fading == 0 else IDLE_CONSTANTS
        cdef double idle = max(constants * self.t, SHORTEST_IDLE_S)
        cdef double lost_idle = max(IDLE_CONSTANTS * self.t, SHORTEST_IDLE_S)
        cdef uint64_t* cell
        cdef Value* value
        cdef Span* record
        with nogil:
            while slot < self.flows.cells:
                cell = cell_of(&self.flows, segment.start, slot)
                if cell[0] == 0:
                    slot += 1
                    continue
                if are_half_full(self.reporter.notices) or self.flows.used < fewest:
                    after = segment.first | 1       # the same segment: what was done there is not done again
                    break
                value = <Value*>payload_of(&self.flows, cell)
                record = <Span*>(value + 1)
                if self.ledger.sources[<uint32_t>cell[1]].life != LIVE:
                    if self.logging.on:
                        end_record(&self.logging, &self.reporter, cell + 1, record)
                    self.note_left(cell + 1)
                    remove(&self.flows, cell)  # may pull a neighbour into this slot: look again
                    continue
                if self.logging.on and is_due(&self.logging, record, now):
                    end_record(&self.logging, &self.reporter, cell + 1, record)
                if (now - value.last > idle and (crowded or not self.logging.on or record.samples == 0)
                        and self.release(cell)):
                    if crowded or self.losses.memory != NULL:
                        self.lose_rest(cell, now)
                    remove(&self.flows, cell)
                else:
                    slot += 1
            shrink(&self.flows)
        if position == 0 and now - self.losses.last > lost_idle:
            forget_lost(&self.losses)
        return after

    def lost(self, double now) -> tuple[float, float] | None:
        """(rate that no value has, more than any value lacks), 0.0 each if nothing was lost lately; None: the values
        are no rates."""
        if self.fading == 0:
            return None
        return (left_at(&self.losses, self.losses.rate, now),
                left_at(&self.losses, self.losses.largest + self.losses.unkeyed, now))

    def most_lost(self, uint32_t source, uint32_t key_id, bytes carried, double now) -> float:
        """How much more a value may be than it says, whether it is kept or not (then it says 0); of rates.

        IndexError: no such data source.
        """
        cdef uint64_t[1 + KEY_WORDS] key
        if source >= self.ledger.source_count:
            raise IndexError(f"no data source {source}")
        memset(key, 0, sizeof(key))
        key[0] = <uint64_t>key_id << 32 | source
        memcpy(key + 1, <const char*>carried, min(<uint32_t>len(carried), 8 * self.plan.carried_words))
        return most_lost(&self.losses, digest(&self.flows, key), self.ledger.sources[source].agent, now)

    def forget_sources(self, sources) -> None:
        """Data sources whose indexes get new owners; their entries are gone already."""
        cdef uint32_t source
        for source in sources:
            if source < self.source_capacity:
                self.seen[source] = 0.0
            self.limits.forget_source(source)

    def trim(self) -> None:
        """Give back memory for indexes of data sources and agents that the ledger has no room for any more."""
        cdef void* less
        if self.source_capacity > self.ledger.source_capacity:
            less = realloc(self.seen, max(self.ledger.source_capacity, 1) * sizeof(double))
            if less != NULL:
                self.seen, self.source_capacity = <double*>less, self.ledger.source_capacity
        if self.agent_capacity > self.ledger.agent_capacity:
            less = realloc(self.held, max(self.ledger.agent_capacity, 1) * sizeof(uint32_t))
            if less != NULL:
                self.held, self.agent_capacity = <uint32_t*>less, self.ledger.agent_capacity
        self.limits.trim()

    @property
    def carried_bytes(self) -> int:
        """Of a key."""
        return 8 * self.plan.carried_words

    def numbers(self) -> dict:
        """Entries in use, refusals, entries that had to make room, remembered computed keys; bytes of everything."""
        return {"entries": self.flows.used, "refused": self.refused, "displaced": self.displaced,
                "key_ids": self.key_ids.table.used, "untested": self.limits.untested(),
                "bytes": (self.flows.bytes + self.key_ids.bytes() + self.limits.bytes()
                          + lost_bytes(&self.losses)
                          + 8 * self.source_capacity + 4 * self.agent_capacity)}
