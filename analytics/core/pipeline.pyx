"""The journey of a batch: decode -> account -> dissect -> classify -> accumulate, without the GIL, under one lock.

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

from analytics.core.flows.classifier cimport Classifier, UnderWay
from analytics.core.counterstore cimport TOLD_ROOM, CounterStore
from analytics.core.dissect.walk cimport dissect
from analytics.core.ledger cimport (IN_ORDER, NOBODY, OF_COUNTERS, OF_DISCARDS, OF_FLOWS, TWICE, Agent, Ledger,
                                    Order)
from analytics.core.dissect.packet cimport EGRESS, INGRESS, UNKNOWN, Direction, describe, describe_switch
from analytics.core.dissect.records cimport describe_records
from analytics.core.wire.sflow cimport (ACCEPTED, COUNTERS, DISCARD, END, FLOW, OTHER_VERSION, RTMETRIC, CounterSample,
                                   Datagram, FlowSample, Kind, Opened, next_sample, open_datagram)
from analytics.core.flows.table cimport fetch
from analytics.core.wire.xdr cimport left

from analytics.core.wire.sflow import rtmetric

cdef enum:
    RTMETRIC_ROOM = 1024                            # before the GIL is taken in mid-batch (at half)
    TEXT_ROOM = 1 << 20
    LINE = 64                                       # bytes of a cache line
    FETCHED = 1536                                  # a datagram's bytes fetched in advance: most are no longer
    BATCH = 256                                     # datagrams fed from Python per turn of the lock
    INTERNAL = 0x3FFFFFFF                           # interface value: the device itself


cdef inline void fetch_datagram(const Slice* slice) noexcept nogil:
    """Ask the memory for a datagram while the one before it is read."""
    cdef size_t at = 0
    while at < slice.length and at < FETCHED:
        fetch(slice.at + at, 0)
        at += LINE


cdef class Pipeline:
    def __cinit__(self, shell, uint64_t seed, uint64_t counter_bytes):
        self.shell = shell
        self.ledger = Ledger(seed)
        self.counters = CounterStore(counter_bytes)
        self.classifier = Classifier(seed)
        pthread_mutex_init(&self.turnstile, NULL)
        pthread_mutex_init(&self.mutex, NULL)
        self.rtmetrics = <PendingMetrics*>malloc(RTMETRIC_ROOM * sizeof(PendingMetrics))
        self.text = <uint8_t*>malloc(TEXT_ROOM)
        if not (self.rtmetrics and self.text):
            raise MemoryError

    def __dealloc__(self):
        pthread_mutex_destroy(&self.turnstile)
        pthread_mutex_destroy(&self.mutex)
        free(self.rtmetrics)
        free(self.text)

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
        self.classifier.note_moves()
        for i in range(count):
            if i + 1 < count:
                fetch_datagram(&slices[i + 1])
            self.datagram(&slices[i], now)
            if (self.counters.told_count * 2 >= TOLD_ROOM or self.rtmetric_count * 2 >= RTMETRIC_ROOM
                    or self.text_used * 2 >= TEXT_ROOM or self.classifier.is_half_full()):
                self.classifier.finish(now)
                with gil:
                    self.settle(now)
        self.classifier.finish(now)
        if (self.classifier.pending_count or self.classifier.fires.count or self.counters.told_count
                or self.rtmetric_count
                or self.classifier.introduced < self.ledger.source_count):
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
        cdef uint32_t kind = sample.source_class, index = sample.source_index, source
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
        it = self.classifier.vacant()
        it.agent, it.source, it.rate = agent, source, sample.rate if sample.rate else 1
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
            self.classifier.settle(self.shell, now)
        except Exception as error:                  # a bug: told by raise_failure, and the journey goes on
            self.failure = error
        self.rtmetric_count = self.text_used = 0
        self.counters.all_told()

    cdef int meet_sources(self) except -1:
        cdef uint32_t source
        for source in range(self.classifier.introduced, self.ledger.source_count):
            self.classifier.introduced = source + 1
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

    def numbers(self) -> dict:
        """Cumulative counters of everything that came in."""
        return {"bytes": self.bytes, "datagrams": self.datagrams, "not_sflow": self.not_sflow,
                "other_version": self.other_version, "overflow": self.overflow, "events_lost": self.classifier.fires.lost,
                "counter_records": self.counters.records, "counter_refused": self.counters.refused,
                "by_shortcut": self.classifier.by_shortcut}

