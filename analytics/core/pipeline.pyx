"""The journey of a batch: decode -> account -> dissect -> classify -> accumulate, without the GIL, under one lock.

What needs Python is deferred and settled once per batch, with the GIL: data sources never seen before, computed keys
never seen before, limits that were crossed, rtmetric samples, and counter samples that a threshold watches (all others
are only copied: counterstore.pyx). The lock is held for one batch, or a part of it, and is fair: the thread that waits
at the turnstile is next, so a query waits for one batch even when datagrams never stop. Rule: no thread waits for the
lock while it holds the GIL; so the thread that holds the lock may take the GIL.

The listener (listener.py) is called with lock and GIL held.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from analytics.core.counterstore cimport MOST_CHANGED, CounterStore
from analytics.core.dissect.packet cimport EGRESS, INGRESS, UNKNOWN, Direction, describe, describe_switch
from analytics.core.dissect.records cimport describe_records
from analytics.core.dissect.walk cimport dissect
from analytics.core.flows.notices cimport CROSSED, RECORDED
from analytics.core.flows.classifier cimport Classifier, UnderWay
from analytics.core.relay cimport Relay
from analytics.core.table cimport fetch
from analytics.core.ledger cimport (
    DUPLICATE, IN_ORDER, MOST_FRESH, NO_INDEX, OF_COUNTERS, OF_DISCARDS, OF_FLOWS, Agent, Ledger, Order,
)
from analytics.core.wire.older cimport UPGRADED_BYTES, upgrade
from analytics.core.wire.sflow cimport (
    ACCEPTED, COUNTERS, DISCARD, END, FLOW, OTHER_VERSION, RTMETRIC, CounterSample, Datagram, FlowSample, Opened,
    SampleKind, next_sample, open_datagram,
)
from analytics.core.wire.xdr cimport left

from analytics.core.wire import sflow

cdef enum:
    MOST_RTMETRICS = 1024                           # before the GIL is taken in mid-batch (at half)
    TEXT_CAPACITY = 1 << 20
    LINE = 64                                       # bytes of a cache line
    FETCHED = 1536                                  # a datagram's bytes fetched in advance: most are no longer
    BATCH = 256                                     # datagrams fed from Python at a time
    FEW_DEFINITIONS = 6                             # with so many or fewer a batch is taken in one turn,
    LEAST_AT_ONCE = 4                               # never are fewer datagrams
    INTERNAL = 0x3FFFFFFF                           # interface value: the device itself


cdef inline void fetch_datagram(const Slice* slice) noexcept nogil:
    """Ask the memory for a datagram while the one before it is read."""
    cdef size_t at = 0
    while at < slice.length and at < FETCHED:
        fetch(slice.at + at, 0)
        at += LINE


cdef bint name_by_sender(Datagram* head, const uint8_t* sender) noexcept nogil:
    """An agent that does not say its address has its sender's, 16 bytes with IPv4 as ::ffff:a.b.c.d."""
    cdef bint mapped
    if sender == NULL:
        return 0
    mapped = memcmp(sender, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0
    head.agent[0] = 1 if mapped else 2
    memcpy(&head.agent[1], sender + (12 if mapped else 0), 4 if mapped else 16)
    return 1


cdef class Pipeline:
    """`seed` of all hashes; `max_ledger_bytes` bounds the sequence numbers, `max_counter_bytes` the counter records,
    `max_microflow_bytes` the microflows. A context manager: it holds the lock."""

    def __cinit__(self, uint64_t seed, uint32_t max_agents, uint32_t max_sources, uint64_t max_ledger_bytes,
                  uint64_t max_counter_bytes, uint64_t max_microflow_bytes):
        self.ledger = Ledger(seed, max_agents, max_sources, max_ledger_bytes)
        self.counters = CounterStore(max_counter_bytes)
        self.classifier = Classifier(self.ledger, seed, max_microflow_bytes)
        self.relay = Relay()
        pthread_mutex_init(&self.turnstile, NULL)
        pthread_mutex_init(&self.mutex, NULL)
        self.rtmetrics = <DeferredMetrics*>malloc(MOST_RTMETRICS * sizeof(DeferredMetrics))
        self.text = <uint8_t*>malloc(TEXT_CAPACITY)
        self.upgraded = <uint8_t*>malloc(UPGRADED_BYTES)
        if not (self.rtmetrics and self.text and self.upgraded):
            raise MemoryError

    def __dealloc__(self):
        pthread_mutex_destroy(&self.turnstile)
        pthread_mutex_destroy(&self.mutex)
        free(self.rtmetrics)
        free(self.text)
        free(self.upgraded)

    def set_listener(self, listener) -> None:
        """Set what is called (listener.Listener); before the first `feed`."""
        self.listener = listener

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

    # -- input --

    def feed(self, list datagrams, double now, sender: bytes | None) -> None:
        """Take datagrams (bytes) that arrived at `now` from a 16-byte sender address."""
        cdef Slice[BATCH] slices
        cdef uint32_t count, i
        cdef const uint8_t* address = NULL
        if sender is not None:
            address = <const uint8_t*>PyBytes_AS_STRING(sender)
        for start in range(0, len(datagrams), BATCH):
            chunk = datagrams[start:start + BATCH]  # keeps the bytes alive
            count = len(chunk)
            for i in range(count):
                datagram = chunk[i]
                if not isinstance(datagram, bytes):
                    raise TypeError("a datagram is bytes")
                slices[i] = Slice(<const uint8_t*>PyBytes_AS_STRING(datagram), PyBytes_GET_SIZE(datagram), address)
            with nogil:
                self.take(slices, count, now)
            self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what the listener raised while a batch was settled (a bug), once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    cdef void take(self, const Slice* slices, uint32_t count, double now) noexcept nogil:
        """Take datagrams, of which as many in one turn of the lock as take about a millisecond: the fewer, the more
        definitions there are."""
        cdef uint32_t first = 0, some
        cdef uint32_t definitions = max(<uint32_t>FEW_DEFINITIONS, self.classifier.slot_count)
        cdef uint32_t most = max(<uint32_t>LEAST_AT_ONCE, count * FEW_DEFINITIONS // definitions)
        while first < count:
            some = min(most, count - first)
            self.acquire()
            self.batch(slices + first, some, now)
            self.release()
            first += some

    cdef void find_agents(self, const Slice* slices, uint32_t count, uint32_t* agents) noexcept nogil:
        """The agents of datagrams that are not taken yet; NO_INDEX: a newcomer, or no datagram. The lock is held."""
        cdef Datagram head
        cdef uint32_t i
        for i in range(count):
            agents[i] = NO_INDEX
            if open_datagram(&head, slices[i].at, slices[i].length) == ACCEPTED and (
                    head.agent[0] or name_by_sender(&head, slices[i].sender)):
                agents[i] = self.ledger.known_agent(head.agent)

    cdef void batch(self, const Slice* slices, uint32_t count, double now) noexcept nogil:
        """Take a batch; the lock is held. Settles with the GIL only if something needs it; when that comes up in the
        middle, it was much, and whoever waits for the lock has it before the rest is taken."""
        cdef uint32_t i
        self.classifier.begin()
        for i in range(count):
            if i + 1 < count:
                fetch_datagram(&slices[i + 1])
            self.datagram(&slices[i], now)
            if (self.counters.changed_count * 2 >= MOST_CHANGED or self.rtmetric_count * 2 >= MOST_RTMETRICS
                    or self.text_used * 2 >= TEXT_CAPACITY or self.ledger.fresh_count * 2 >= MOST_FRESH
                    or self.classifier.is_half_full()):
                self.classifier.finish(now)
                with gil:
                    self.settle(now)
                self.release()
                self.acquire()
                self.classifier.begin()
        self.classifier.finish(now)
        if (self.classifier.deferred_count or self.classifier.notices.count or self.counters.changed_count
                or self.relay.used or self.rtmetric_count or self.ledger.fresh_count):
            with gil:
                self.settle(now)

    cdef void datagram(self, const Slice* slice, double now) noexcept nogil:
        cdef Datagram head
        cdef FlowSample flow
        cdef CounterSample counters
        cdef SampleKind kind
        cdef uint32_t agent
        cdef uint16_t epoch = 0
        cdef Agent* state
        cdef Opened opened = open_datagram(&head, slice.at, slice.length)
        cdef bint older = opened == OTHER_VERSION
        cdef size_t length
        self.bytes += slice.length
        self.datagrams += 1
        if older:
            length = upgrade(slice.at, slice.length, self.upgraded)
            if length == 0:
                self.other_version += 1
                return
            opened = open_datagram(&head, self.upgraded, length)
        if opened != ACCEPTED or (head.agent[0] == 0 and not name_by_sender(&head, slice.sender)):
            self.not_sflow += 1
            return
        agent = self.ledger.agent(head.agent, now)
        if agent == NO_INDEX:
            return
        state = &self.ledger.agents[agent]
        state.bytes += slice.length
        if self.ledger.datagram(agent, &head, slice.sender, &epoch) == DUPLICATE:
            return
        if self.relay.target_count:
            self.relay.take(slice.at, slice.length, self.upgraded if older else slice.at,
                            length if older else slice.length, &head.agent[0])
        while True:
            kind = next_sample(&head, &flow, &counters)
            if kind == END:
                break
            if kind == FLOW or kind == DISCARD:
                self.flow(agent, &head, &flow, epoch, now)
            elif kind == COUNTERS:
                self.count(agent, &head, &counters, epoch, now)
            elif kind == RTMETRIC:
                self.defer_rtmetric(agent, &head, &counters)
            else:
                state.skipped += 1
        state.faults += head.faults
        if older:
            self.classifier.finish(now)             # what is under way reads the rewritten bytes

    cdef void flow(self, uint32_t agent, const Datagram* head, const FlowSample* sample, uint16_t epoch,
                   double now) noexcept nogil:
        """Account for a flow sample or a discard, find its headers, give it to every definition that takes such."""
        cdef uint32_t kind = sample.source_class, index = sample.source_index, source
        cdef UnderWay* it
        cdef Direction direction = UNKNOWN
        if kind == 2 and sample.in_format == 0 and sample.in_value not in (0, INTERNAL):
            kind, index = 0, sample.in_value        # one sampler for a whole switch (Open vSwitch): the input port
        if kind == 0 and sample.in_format == 0 and sample.in_value == index:
            direction = INGRESS
        elif kind == 0 and sample.out_format == 0 and sample.out_value == index:
            direction = EGRESS
        source = self.ledger.source(agent, kind, index, now)
        if source == NO_INDEX:
            return
        self.ledger.sample(agent, head, epoch, sample.source_class, sample.source_index, sample.sequence,
                           sample.drops, OF_DISCARDS if sample.discard else OF_FLOWS)
        self.ledger.sources[source].last_flow = now
        it = self.classifier.free_slot()
        it.agent, it.source, it.rate = agent, source, sample.rate if sample.rate else 1
        it.serial, it.announced = self.ledger.agents[agent].serial, self.ledger.sources[source].announced
        describe(&it.fields, sample.frame_length, sample.stripped, sample.in_format, sample.in_value,
                 sample.out_format, sample.out_value, direction)
        if sample.switched:
            describe_switch(&it.fields, sample.src_vlan, sample.src_priority, sample.dst_vlan, sample.dst_priority)
        describe_records(&it.fields, sample)
        if sample.header != NULL:
            dissect(&it.fields, sample.protocol, sample.header, sample.length)
        if sample.discard:
            self.classifier.take_discard(it, now)
        else:
            self.classifier.take(it, now)

    cdef void count(self, uint32_t agent, const Datagram* head, const CounterSample* sample, uint16_t epoch,
                    double now) noexcept nogil:
        """Account for a counter sample and keep its records."""
        cdef Agent* state = &self.ledger.agents[agent]
        cdef uint32_t source = self.ledger.source(agent, sample.source_class, sample.source_index, now)
        cdef Order order
        if source == NO_INDEX:
            return
        order = self.ledger.sample(agent, head, epoch, sample.source_class, sample.source_index, sample.sequence, 0,
                                   OF_COUNTERS)
        self.ledger.sources[source].last_counter = now
        if order == IN_ORDER:                       # else newer values are known already
            state.faults += self.counters.keep(source, sample, head.uptime, now)

    cdef void defer_rtmetric(self, uint32_t agent, const Datagram* head, const CounterSample* sample) noexcept nogil:
        """Copy a sample for `settle`; overflow is counted."""
        cdef uint32_t length = <uint32_t>left(&sample.body)
        if self.rtmetric_count == MOST_RTMETRICS or self.text_used + length > TEXT_CAPACITY:
            self.overflow += 1
            return
        self.rtmetrics[self.rtmetric_count] = DeferredMetrics(agent, head.uptime, self.text_used, length)
        memcpy(self.text + self.text_used, sample.body.at, length)
        self.text_used += length
        self.rtmetric_count += 1

    # -- settling (lock and GIL held) --

    cdef void settle(self, double now) noexcept:
        """Do what needs Python: new data sources, counters, computed keys, then limits crossed."""
        try:
            self.settle_sources(now)
            self.classifier.settle(self.listener, now)
            if self.relay.used:
                self.listener.on_relayed()
        except Exception as error:                  # a bug: see raise_failure; the next batch is taken all the same
            self.failure = error
        self.rtmetric_count = self.text_used = 0
        self.counters.clear_changed()

    cdef int announce_sources(self) except -1:
        cdef uint32_t i, count = self.ledger.fresh_count
        self.ledger.fresh_count = 0
        for i in range(count):
            self.ledger.sources[self.ledger.fresh[i]].announced = 1
            self.listener.on_new_source(self.ledger.fresh[i])
        return 0

    cdef int settle_sources(self, double now) except -1:
        cdef uint32_t i
        cdef DeferredMetrics* item
        self.announce_sources()
        for i in range(self.counters.changed_count):
            self.listener.on_counters(self.counters.changed[i], now)
        for i in range(self.rtmetric_count):
            item = &self.rtmetrics[i]
            body = (<const char*>self.text + item.offset)[:item.length]
            self.ledger.agents[item.agent].faults += <uint64_t>self.settle_rtmetric(item.agent, item.uptime, body, now)
        return 0

    cdef int settle_rtmetric(self, uint32_t agent, uint32_t uptime, bytes body, double now) except -1:
        """Metrics of a named data source; answers the number of faults."""
        cdef uint32_t source
        sample = sflow.rtmetric(body)
        if sample is None:
            return 1
        name, metrics, faults = sample
        source = self.ledger.named_source(agent, name, now)
        if source == NO_INDEX:
            self.overflow += 1
            return faults
        self.ledger.sources[source].last_counter = now
        self.announce_sources()
        self.listener.on_named_counters(source, uptime, metrics, now)
        return faults

    def numbers(self) -> dict:
        """Cumulative counters of everything that came in."""
        return {"bytes": self.bytes, "datagrams": self.datagrams, "not_sflow": self.not_sflow,
                "other_version": self.other_version, "overflow": self.overflow,
                "agents_refused": self.ledger.agents_refused, "sources_refused": self.ledger.sources_refused,
                "events_lost": self.classifier.notices.lost[<int>CROSSED],
                "records_lost": self.classifier.notices.lost[<int>RECORDED],
                "by_microflow": self.classifier.by_microflow,
                "counter_records": self.counters.records, "counter_refused": self.counters.refused}
