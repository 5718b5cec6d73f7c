"""The journey of a batch: decode -> account -> dissect -> key -> accumulate, without the GIL, under one lock.

What needs Python is set aside and settled once per batch, with the GIL: data sources never seen before, judged keys
never seen before, limits that fired, rtmetric samples, and counter samples that a threshold watches (all others are
only copied: counterstore.pyx). The lock is held for one batch and is fair: whoever waits at the turnstile goes next, so
a query waits for one batch even when datagrams never stop. Rule: nobody waits for the lock while holding the GIL; so
whoever holds the lock may take the GIL.

The shell (engine.py) is called with lock and GIL held: meet(source), counted(source, now), count_named(...),
judge(slot, judged), fired(events).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from analytics.core.counterstore cimport TOLD_ROOM, CounterStore
from analytics.core.flowcache cimport FlowCache, Fired, Value, add_up
from analytics.core.flowkeys cimport KEY_WORDS, gather_carried, gather_judged, gather_value
from analytics.core.ladder cimport dissect
from analytics.core.ledger cimport (IN_ORDER, NOBODY, OF_COUNTERS, OF_DISCARDS, OF_FLOWS, TWICE, Agent, Ledger,
                                    Order)
from analytics.core.packet cimport EGRESS, INGRESS, UNKNOWN, Direction, describe, describe_switch, prepare
from analytics.core.records cimport describe_records
from analytics.core.shortcuts cimport (entries_of, fetch_pair, is_second, is_worth_it, recall, shortcuts_close,
                                        shortcuts_open, sign, vacancy, weigh)
from analytics.core.sflow cimport (ACCEPTED, COUNTERS, DISCARD, END, FLOW, OTHER_VERSION, RTMETRIC, CounterSample,
                                   Datagram, FlowSample, Kind, Opened, next_sample, open_datagram)
from analytics.core.table cimport digest, digest_of, fetch, fetch_cell, find
from analytics.core.xdr cimport left

from analytics.core.sflow import rtmetric

cdef enum:
    PENDING_ROOM = 4096                             # samples set aside before the GIL is taken in mid-batch (at half)
    RTMETRIC_ROOM = 1024
    TEXT_ROOM = 1 << 20
    FIRED_ROOM = 4096
    BATCH = 256                                     # datagrams fed from Python per turn of the lock
    UNDER_WAY = 4                                   # samples whose shortcut is awaited
    STAGES = 32                                     # updates under way: enough to hide the memory's latency
    LAG = 4                                         # keys whose bytes are still being stored: too early to read them
    INTERNAL = 0x3FFFFFFF                           # interface value: the device itself

FLOWS_AT_ONCE = MOST_FLOWS


cdef inline void fetch_staged(Staged* item) noexcept nogil:
    """Digest a staged key and ask the memory for its cell."""
    item.hash = digest(item.flows, item.key)
    fetch_cell(item.flows, item.hash)


cdef class Pipeline:
    def __cinit__(self, shell, uint64_t seed, uint64_t counter_bytes):
        cdef uint32_t place
        self.shell = shell
        self.seed = seed
        self.ledger = Ledger(seed)
        self.counters = CounterStore(counter_bytes)
        self.caches = []
        for place in range(UNDER_WAY):
            prepare(&self.samples[place].fields)
        pthread_mutex_init(&self.turnstile, NULL)
        pthread_mutex_init(&self.mutex, NULL)
        self.pending = <Pending*>malloc(PENDING_ROOM * sizeof(Pending))
        self.rtmetrics = <PendingMetrics*>malloc(RTMETRIC_ROOM * sizeof(PendingMetrics))
        self.text = <uint8_t*>malloc(TEXT_ROOM)
        self.fires.items = <Fired*>malloc(FIRED_ROOM * sizeof(Fired))
        self.fires.room = FIRED_ROOM
        if not (self.pending and self.rtmetrics and self.text and self.fires.items):
            raise MemoryError

    def __dealloc__(self):
        pthread_mutex_destroy(&self.turnstile)
        pthread_mutex_destroy(&self.mutex)
        free(self.pending)
        free(self.rtmetrics)
        free(self.text)
        free(self.fires.items)
        shortcuts_close(&self.shortcuts)

    cdef void acquire(self) noexcept nogil:
        pthread_mutex_lock(&self.turnstile)
        pthread_mutex_lock(&self.mutex)
        pthread_mutex_unlock(&self.turnstile)

    cdef void release(self) noexcept nogil:
        pthread_mutex_unlock(&self.mutex)

    def __enter__(self):
        with nogil:
            self.acquire()
        return self

    def __exit__(self, *raised):
        self.release()

    # -- definitions (lock held by the caller) --

    def add(self, program, uint64_t most) -> FlowCache:
        """Start to accumulate a compiled definition."""
        if self.slot_count == MOST_FLOWS:
            raise OverflowError(f"more than {MOST_FLOWS} flow definitions")
        cache = FlowCache(program, most, self.seed)
        self.caches.append(cache)
        self.place()
        return cache

    def drop(self, FlowCache cache) -> None:
        """Stop accumulating a definition and free its entries."""
        self.caches.remove(cache)
        self.place()

    cdef void place(self):
        cdef uint32_t slot, dropped
        self.slot_count = len(self.caches)
        self.fed_count[0] = self.fed_count[1] = 0
        for slot in range(self.slot_count):
            self.slots[slot] = <void*>self.caches[slot]
            (<FlowCache>self.slots[slot]).slot = slot
            dropped = self.caches[slot].program.dropped
            self.fed[dropped][self.fed_count[dropped]] = self.slots[slot]
            self.fed_count[dropped] += 1
        shortcuts_open(&self.shortcuts, [cache for cache in self.caches if not cache.program.dropped])

    # -- input --

    def feed(self, list datagrams, double now, sender: bytes | None) -> None:
        """Take datagrams (bytes) that arrived at `now` from a 16-byte sender address."""
        cdef Slice[BATCH] slices
        cdef uint32_t count, i
        cdef const uint8_t* who = NULL
        if sender is not None:
            who = <const uint8_t*>PyBytes_AS_STRING(sender)
        for start in range(0, len(datagrams), BATCH):
            chunk = datagrams[start:start + BATCH]  # keeps the bytes alive
            count = len(chunk)
            for i in range(count):
                datagram = chunk[i]
                if not isinstance(datagram, bytes):
                    raise TypeError("a datagram is bytes")
                slices[i] = Slice(<const uint8_t*>PyBytes_AS_STRING(datagram), PyBytes_GET_SIZE(datagram), who)
            with nogil:
                self.acquire()
                self.batch(slices, count, now)
                self.release()
            self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what went wrong in Python while a batch was settled (a bug), once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    cdef void batch(self, const Slice* slices, uint32_t count, double now) noexcept nogil:
        """Take a batch; the lock is held. Settles with the GIL only if something needs it."""
        cdef uint32_t i
        self.note_moves()
        for i in range(count):
            if i + 1 < count:
                fetch(slices[i + 1].at, 0)
            self.datagram(&slices[i], now)
<<<<<<< HEAD
            if (self.pending_count * 2 >= PENDING_ROOM or self.counter_count * 2 >= COUNTER_ROOM
                    or self.text_used * 2 >= TEXT_ROOM or self.fires.count * 2 >= FIRED_ROOM):
                self.finish(now)
                with gil:
                    self.settle(now)
                self.note_moves()
        self.finish(now)
        if (self.pending_count or self.counter_count or self.fires.count
=======
            if (self.pending_count * 2 >= PENDING_ROOM or self.counters.told_count * 2 >= TOLD_ROOM
                    or self.rtmetric_count * 2 >= RTMETRIC_ROOM or self.text_used * 2 >= TEXT_ROOM
                    or self.fires.count * 2 >= FIRED_ROOM):
                with gil:
                    self.settle(now)
        self.unstage(now)
        if (self.pending_count or self.counters.told_count or self.rtmetric_count or self.fires.count
>>>>>>> h-counters
                or self.introduced < self.ledger.source_count):
            with gil:
                self.settle(now)

    cdef void datagram(self, const Slice* slice, double now) noexcept nogil:
        cdef Datagram head
        cdef FlowSample flow
        cdef CounterSample counters
        cdef Kind kind
        cdef uint32_t agent, era = 0
        cdef Agent* who
        cdef Opened opened = open_datagram(&head, slice.at, slice.length)
        self.bytes += slice.length
        self.datagrams += 1
        if opened != ACCEPTED:
            if opened == OTHER_VERSION:
                self.other_version += 1
            else:
                self.not_sflow += 1
            return
        agent = self.ledger.agent(head.agent, now)
        if agent == NOBODY:
            self.overflow += 1
            return
        who = &self.ledger.agents[agent]
        who.bytes += slice.length
        if self.ledger.datagram(agent, &head, slice.sender, &era) == TWICE:
            return
        while True:
            kind = next_sample(&head, &flow, &counters)
            if kind == END:
                break
            if kind == FLOW or kind == DISCARD:
                self.flow(agent, &head, &flow, era, now)
            elif kind == COUNTERS:
                self.count(agent, &head, &counters, era, now)
            elif kind == RTMETRIC:
                self.set_rtmetric_aside(agent, &head, &counters)
            else:
                who.skipped += 1
        who.faults += head.faults

    cdef void flow(self, uint32_t agent, const Datagram* head, const FlowSample* sample, uint32_t era,
                   double now) noexcept nogil:
        """Account for a flow sample or a discard, find its headers, give it to every definition that takes such."""
        cdef uint32_t kind = sample.source_class, index = sample.source_index, source, slot
        cdef UnderWay* it
        cdef Direction direction = UNKNOWN
        self.ledger.sample(agent, head, era, kind, index, sample.sequence, sample.drops,
                           OF_DISCARDS if sample.discard else OF_FLOWS)
        if kind == 2 and sample.in_format == 0 and sample.in_value not in (0, INTERNAL):
            kind, index = 0, sample.in_value        # one sampler for a whole switch (Open vSwitch): the input port
        if kind == 0 and sample.in_format == 0 and sample.in_value == index:
            direction = INGRESS
        elif kind == 0 and sample.out_format == 0 and sample.out_value == index:
            direction = EGRESS
        source = self.ledger.source(agent, kind, index)
        if source == NOBODY:
            self.overflow += 1
            return
        self.ledger.sources[source].last_flow = now
        it = &self.samples[self.sample_head % UNDER_WAY]
        for slot in range(4):                       # what stood there before: fresh stores would stall this
            self.present[slot] |= it.fields.present[slot]
        it.agent, it.source, it.rate = agent, source, sample.rate if sample.rate else 1
        describe(&it.fields, sample.frame_length, sample.stripped, sample.in_format, sample.in_value,
                 sample.out_format, sample.out_value, direction)
        if sample.switched:
            describe_switch(&it.fields, sample.src_vlan, sample.src_priority, sample.dst_vlan, sample.dst_priority)
        describe_records(&it.fields, sample)
        if sample.header != NULL:
            dissect(&it.fields, sample.protocol, sample.header, sample.length)
        if sample.discard:
            for slot in range(self.fed_count[1]):
                self.key(<FlowCache>self.fed[1][slot], it, now)
            return
        self.sign(it)
        self.sample_head += 1
        if self.sample_head - self.sample_tail == UNDER_WAY:
            self.sample_tail += 1                   # before: classify may finish what is under way
            self.classify(&self.samples[(self.sample_tail - 1) % UNDER_WAY], now)

    cdef void note_moves(self) noexcept nogil:
        """Called after whatever may move entries or forget verdicts: older shortcuts are void then."""
        cdef uint32_t slot
        self.moved = 1
        for slot in range(self.fed_count[0]):
            self.moved += (<FlowCache>self.fed[0][slot]).flows.moves + (<FlowCache>self.fed[0][slot]).memo.moves

    cdef void sign(self, UnderWay* it) noexcept nogil:
        """Find a sample's signature, and ask the memory for its shortcut."""
        it.signed = 0
        if is_worth_it(&self.shortcuts) and weigh(&self.shortcuts, &it.fields, it.rate, it.amounts):
            it.signed = sign(&self.shortcuts, &it.fields, it.source, it.signature)
        if it.signed:
            it.hash = digest_of(self.seed, it.signature, it.signed)
            fetch_pair(&self.shortcuts, it.hash)

    cdef void classify(self, UnderWay* it, double now) noexcept nogil:
        """Give a flow sample to every definition: by its shortcut, or the long way."""
        cdef Fate[MOST_FLOWS] fates
        cdef Shortcut* shortcut
        cdef uint32_t slot
        if it.signed:
            shortcut = recall(&self.shortcuts, it.hash, self.moved, it.signature, it.signed)
            if shortcut != NULL:
                self.shortcuts.found += 1
                for slot in range(self.fed_count[0]):
                    fetch(entries_of(&self.shortcuts, shortcut)[slot], 1)
                self.pay(now)
                self.due.shortcut, self.due.source = shortcut, it.source
                memcpy(self.due.amounts, it.amounts, self.shortcuts.amount_count * sizeof(double))
                return
        self.pay(now)
        for slot in range(self.fed_count[0]):
            fates[slot] = self.key(<FlowCache>self.fed[0][slot], it, now)
        if it.signed and is_second(&self.shortcuts, it.hash):
            self.lay_shortcut(it, fates, now)
        self.note_moves()

    cdef void pay(self, double now) noexcept nogil:
        """Add up the sample that is due: before anything may move its entries."""
        cdef Value** entries
        cdef uint32_t slot
        if self.due.shortcut == NULL:
            return
        entries = entries_of(&self.shortcuts, self.due.shortcut)
        for slot in range(self.fed_count[0]):
            if entries[slot] != NULL:
                add_up(<FlowCache>self.fed[0][slot], entries[slot], self.due.source,
                       self.due.amounts[self.shortcuts.amount_of[slot]], now, &self.fires)
        self.due.shortcut = NULL

    cdef void lay_shortcut(self, const UnderWay* it, const Fate* fates, double now) noexcept nogil:
        """Remember where the sample just keyed is counted; its updates were staged last."""
        cdef Shortcut* shortcut
        cdef Value** entries
        cdef Staged* item
        cdef uint32_t slot, staged = 0
        for slot in range(self.fed_count[0]):
            if fates[slot] == UNSURE:
                return
            staged += fates[slot] == STAGED
        self.note_moves()
        shortcut = vacancy(&self.shortcuts, it.hash, self.moved)
        if shortcut == NULL or staged > STAGES:
            return
        self.unstage(now)
        self.note_moves()
        shortcut.moves = 0
        entries = entries_of(&self.shortcuts, shortcut)
        for slot in range(self.fed_count[0]):
            entries[slot] = NULL
            if fates[slot] == STAGED:
                item = &self.staged[(self.staged_head - staged) % STAGES]
                staged -= 1
                entries[slot] = <Value*>find(item.flows, item.key, item.hash)
                if entries[slot] == NULL:           # its table is full
                    return
        memcpy(shortcut.words, it.signature, 8 * it.signed)
        shortcut.hash, shortcut.moves = it.hash, self.moved

    cdef Fate key(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil:
        """Make the keys of one definition, and accumulate or set aside."""
        cdef uint64_t[KEY_WORDS] judged
        cdef Staged* item
        cdef uint8_t* verdict
        cdef uint64_t decided = 0                   # also: nothing to judge
        cdef bint known = 1
        if cache.plan.judged_words:
            gather_judged(&it.fields, &cache.plan, it.agent, judged)
            verdict = find(&cache.memo, judged, digest(&cache.memo, judged))
            known = verdict != NULL
            if known:
                decided = (<uint32_t*>verdict)[0]
                if decided == 0:
                    return REJECTED
        item = &self.staged[self.staged_head % STAGES]
        if not gather_carried(&it.fields, &cache.plan, item.key + 1):
            return REJECTED
        if not gather_value(&it.fields, &cache.plan, &item.amount):
            return UNSURE
        item.amount *= it.rate
        if not known or it.source >= self.introduced:
            self.set_aside(cache, it.agent, it.source, item.amount, judged, item.key + 1)
            return UNSURE
        item.key[0] = decided << 32 | it.source
        item.cache, item.flows = <void*>cache, &cache.flows
        self.staged_head += 1
        if self.staged_head - self.staged_next > LAG:
            fetch_staged(&self.staged[self.staged_next % STAGES])
            self.staged_next += 1
        if self.staged_head - self.staged_tail == STAGES:
            item = &self.staged[self.staged_tail % STAGES]
            self.staged_tail += 1
            (<FlowCache>item.cache).update(item.key, item.hash, item.amount, now, &self.fires)
        return STAGED

    cdef void unstage(self, double now) noexcept nogil:
        """Carry out all staged updates, oldest first."""
        cdef Staged* item
        while self.staged_next != self.staged_head:
            fetch_staged(&self.staged[self.staged_next % STAGES])
            self.staged_next += 1
        while self.staged_tail != self.staged_head:
            item = &self.staged[self.staged_tail % STAGES]
            self.staged_tail += 1
            (<FlowCache>item.cache).update(item.key, item.hash, item.amount, now, &self.fires)

    cdef void finish(self, double now) noexcept nogil:
        """Bring all samples under way to their entries."""
        while self.sample_tail != self.sample_head:
            self.sample_tail += 1
            self.classify(&self.samples[(self.sample_tail - 1) % UNDER_WAY], now)
        self.pay(now)
        self.unstage(now)

    cdef void set_aside(self, FlowCache cache, uint32_t agent, uint32_t source, double amount, const uint64_t* judged,
                        const uint64_t* carried) noexcept nogil:
        cdef Pending* item
        if self.pending_count == PENDING_ROOM:
            cache.refused += 1
            return
        item = &self.pending[self.pending_count]
        item.slot, item.source, item.agent, item.amount = cache.slot, source, agent, amount
        memcpy(item.judged, judged, 8 * cache.plan.judged_words)
        memcpy(item.carried, carried, 8 * cache.plan.carried_words)
        self.pending_count += 1

    cdef void count(self, uint32_t agent, const Datagram* head, const CounterSample* sample, uint32_t era,
                    double now) noexcept nogil:
        """Account for a counter sample and keep its records."""
        cdef Agent* who = &self.ledger.agents[agent]
        cdef uint32_t source = self.ledger.source(agent, sample.source_class, sample.source_index)
        cdef Order order = self.ledger.sample(agent, head, era, sample.source_class, sample.source_index,
                                              sample.sequence, 0, OF_COUNTERS)
        if source == NOBODY:
            self.overflow += 1
            return
        self.ledger.sources[source].last_counter = now
        if order == IN_ORDER:                       # late or twice: newer values are known already
            who.faults += self.counters.keep(source, sample, head.uptime, now)

    cdef void set_rtmetric_aside(self, uint32_t agent, const Datagram* head,
                                 const CounterSample* sample) noexcept nogil:
        """Copy a sample for `settle`; what there is no room for is counted."""
        cdef uint32_t length = <uint32_t>left(&sample.body)
        if self.rtmetric_count == RTMETRIC_ROOM or self.text_used + length > TEXT_ROOM:
            self.overflow += 1
            return
        self.rtmetrics[self.rtmetric_count] = PendingMetrics(agent, head.uptime, self.text_used, length)
        memcpy(self.text + self.text_used, sample.body.at, length)
        self.text_used += length
        self.rtmetric_count += 1

    # -- settling (lock and GIL held) --

    cdef void settle(self, double now) noexcept:
        """Do what needs Python: meet new sources, counters, judgements, then events."""
        try:
            self.settle_sources(now)
            self.settle_pending(now)
            self.settle_fires()
        except Exception as error:                  # a bug: told by raise_failure, and the journey goes on
            self.failure = error
        self.pending_count = self.rtmetric_count = self.text_used = self.fires.count = 0
        self.counters.all_told()

    cdef int meet_sources(self) except -1:
        cdef uint32_t source
        for source in range(self.introduced, self.ledger.source_count):
            self.introduced = source + 1
            self.shell.meet(source)
        return 0

    cdef int settle_sources(self, double now) except -1:
        cdef uint32_t i
        cdef PendingMetrics* item
        self.meet_sources()
        for i in range(self.counters.told_count):
            self.shell.counted(self.counters.told[i], now)
        for i in range(self.rtmetric_count):
            item = &self.rtmetrics[i]
            body = (<const char*>self.text + item.offset)[:item.length]
            self.ledger.agents[item.agent].faults += <uint64_t>self.settle_rtmetric(item.agent, item.uptime, body, now)
        return 0

    def settle_rtmetric(self, uint32_t agent, uint32_t uptime, bytes body, double now) -> int:
        """Metrics of a named data source; answers the number of faults."""
        cdef uint32_t source
        sample = rtmetric(body)
        if sample is None:
            return 1
        name, metrics, faults = sample
        source = self.ledger.named_source(agent, name)
        if source == NOBODY:
            self.overflow += 1
            return faults
        self.ledger.sources[source].last_counter = now
        self.meet_sources()
        self.shell.count_named(source, uptime, metrics, now)
        return faults

    cdef int settle_pending(self, double now) except -1:
        """Judge each unknown judged key once, then accumulate the samples that were set aside for it."""
        cdef uint32_t i
        cdef Pending* item
        cdef FlowCache cache
        cdef uint8_t* found
        cdef uint64_t[KEY_WORDS] key
        cdef uint64_t decided
        for i in range(self.pending_count):
            item = &self.pending[i]
            cache = <FlowCache>self.slots[item.slot]
            decided = 0
            if cache.plan.judged_words:
                found = find(&cache.memo, item.judged, digest(&cache.memo, item.judged))
                if found == NULL:
                    judged = (<const char*>item.judged)[:8 * cache.plan.judged_words]
                    decided = self.shell.judge(cache, item.agent, judged)
                    cache.remember(judged, decided)
                else:
                    decided = (<uint32_t*>found)[0]
                if decided == 0:
                    continue
            key[0] = decided << 32 | item.source
            memcpy(key + 1, item.carried, 8 * cache.plan.carried_words)
            cache.update(key, digest(&cache.flows, key), item.amount, now, &self.fires)
        return 0

    cdef int settle_fires(self) except -1:
        cdef uint32_t i
        cdef Fired* item
        cdef FlowCache cache
        if self.fires.count == 0:
            return 0
        events = []
        for i in range(self.fires.count):
            item = &self.fires.items[i]
            cache = <FlowCache>self.slots[item.slot]
            carried = (<const char*>item.key)[:8 * cache.plan.carried_words]
            events.append((cache, item.limit, item.source, item.verdict, carried, item.value, item.now))
        self.shell.fired(events)
        return 0

    def headers_seen(self) -> int:
        """Bit per slot (packet.pxd) met since the last call."""
        seen = 0
        for word in range(4):
            for place in range(UNDER_WAY):
                self.present[word] |= self.samples[place].fields.present[word]
                self.samples[place].fields.present[word] = 0
            seen |= self.present[word] << 64 * word
            self.present[word] = 0
        return seen

    def numbers(self) -> dict:
        """Cumulative counters of everything that came in."""
        return {"bytes": self.bytes, "datagrams": self.datagrams, "not_sflow": self.not_sflow,
                "other_version": self.other_version, "overflow": self.overflow, "events_lost": self.fires.lost,
                "counter_records": self.counters.records, "counter_refused": self.counters.refused}

