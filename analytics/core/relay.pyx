"""What is passed on to others: whole datagrams, of all agents or some, and samples that somebody chose.

Nothing is done here for a sample, and one comparison for a datagram, as long as there are no targets. What is to be
sent waits in one buffer of MOST_WAITING bytes, copied with the pipeline's lock held; a thread takes it and sends it
without (export/sender.py). What does not fit is lost and counted. Datagrams that came before are not passed on again
(the ledger knows them), so two relays that point at each other end by themselves.

A sample is chosen by its ports (the data source's, input, output), by an address or a MAC of its packet, source or
destination, in any of its headers; a counter sample by its port. One match is enough. Chosen samples go out as they
are, in a datagram with the head of the one that brought them and the right count; its sequence number is the sender's
business. So the receiver sees an agent that samples less: gaps in the sequence numbers of samples are what was not
chosen. Samples are read and dissected once more for this, and compared with one condition after the other: at most
256 of a kind and target (export/targets.py).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from analytics.core.dissect.packet cimport DEPTH, ETH, IP, IP6, LAYER, UNKNOWN, describe, prepare
from analytics.core.dissect.records cimport describe_records
from analytics.core.dissect.walk cimport dissect
from analytics.core.wire.sflow cimport (
    ACCEPTED, COUNTERS, DISCARD, END, FLOW, SampleKind, next_sample, open_datagram,
)
from analytics.core.wire.xdr cimport swap32

cdef const uint8_t* MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


cdef bint begins_with(const uint8_t* address, const Prefix* prefix) noexcept nogil:
    """Whether the first bits of an address, 16 bytes, are those of a prefix."""
    cdef uint32_t whole = prefix.bits >> 3, rest = prefix.bits & 7
    if memcmp(address, prefix.address, whole):
        return 0
    return rest == 0 or (address[whole] ^ prefix.address[whole]) >> (8 - rest) == 0


cdef bint is_within(const Target* target, const uint8_t* at, uint32_t size) noexcept nogil:
    """Whether an address of 4 or 16 bytes has one of the prefixes."""
    cdef uint8_t[16] address
    cdef uint32_t i
    if size == 4:
        memcpy(&address[0], MAPPED, 12)
    memcpy(&address[16 - size], at, size)
    for i in range(target.prefix_count):
        if begins_with(&address[0], &target.prefixes[i]):
            return 1
    return 0


cdef bint is_port(const Target* target, const uint64_t* agent, uint32_t index) noexcept nogil:
    cdef uint32_t i
    for i in range(target.port_count):
        if target.ports[i].index == index and memcmp(&target.ports[i].agent[0], agent, 24) == 0:
            return 1
    return 0


cdef class Relay:
    """`set_targets`, then whatever the pipeline takes is passed on; the pipeline's lock is held for all of it."""

    def __cinit__(self):
        self.waiting = <uint8_t*>malloc(MOST_WAITING)
        self.fields = <Fields*>malloc(sizeof(Fields))
        if self.waiting == NULL or self.fields == NULL:
            raise MemoryError
        prepare(self.fields)

    def __dealloc__(self):
        self.clear()
        free(self.waiting)
        free(self.fields)

    cdef void clear(self) noexcept:
        cdef uint32_t i
        for i in range(self.target_count):
            free(self.targets[i].agents)
            free(self.targets[i].ports)
            free(self.targets[i].prefixes)
            free(self.targets[i].macs)
        self.target_count = 0
        self.used = 0

    def set_targets(self, list targets) -> None:
        """Pass on to these from now on; what waits is forgotten, and counts begin at 0.

        Each is (agents,) for whole datagrams or (agents, ports, prefixes, macs) for chosen samples: addresses packed,
        none: of all; (packed address, ifIndex); (16 bytes, bits), six bytes."""
        cdef Target* target
        if len(targets) > MOST_TARGETS:
            raise ValueError(f"more than {MOST_TARGETS} targets")
        self.clear()
        for spec in targets:
            target = &self.targets[self.target_count]
            memset(target, 0, sizeof(Target))
            self.target_count += 1
            target.agents = places([(agent, 0) for agent in spec[0]])
            target.agent_count = len(spec[0])
            if len(spec) == 1:
                continue
            target.chosen = 1
            target.ports = places(spec[1])
            target.port_count = len(spec[1])
            target.prefixes = <Prefix*>calloc(len(spec[2]) + 1, sizeof(Prefix))
            target.macs = <uint8_t*>calloc(len(spec[3]) + 1, 6)
            if target.prefixes == NULL or target.macs == NULL:
                raise MemoryError
            for address, bits in spec[2]:
                memcpy(target.prefixes[target.prefix_count].address, <const char*>address, 16)
                target.prefixes[target.prefix_count].bits = bits
                target.prefix_count += 1
            for mac in spec[3]:
                memcpy(target.macs + 6 * target.mac_count, <const char*>mac, 6)
                target.mac_count += 1

    cdef void take(self, const uint8_t* raw, size_t raw_length, const uint8_t* at, size_t length,
                   const uint64_t* agent) noexcept nogil:
        """Pass a datagram on: as it came, `raw`; its samples from what may have been rewritten, `at`."""
        cdef uint32_t i, j
        cdef uint8_t* room
        cdef Target* target
        for i in range(self.target_count):
            target = &self.targets[i]
            j = 0
            while j < target.agent_count and memcmp(&target.agents[j].agent[0], agent, 24):
                j += 1
            if target.agent_count and j == target.agent_count:
                continue
            if target.chosen:
                self.choose(i, at, length)
                continue
            room = self.room(i, raw_length)
            if room != NULL:
                memcpy(room, raw, raw_length)

    cdef uint8_t* room(self, uint32_t number, size_t length) noexcept nogil:
        """Where a datagram may be put; NULL, and it is lost, when there is none."""
        cdef Waiting head
        cdef uint8_t* at = self.waiting + self.used
        if length > MOST_BYTES or self.used + sizeof(Waiting) + length > MOST_WAITING:
            self.targets[number].lost += 1
            return NULL
        head = Waiting(number, <uint32_t>length)
        memcpy(at, &head, sizeof(Waiting))
        self.used += sizeof(Waiting) + length
        self.targets[number].datagrams += 1
        return at + sizeof(Waiting)

    cdef void choose(self, uint32_t number, const uint8_t* at, size_t length) noexcept nogil:
        """A datagram of the samples that a target wants, if it wants any."""
        cdef Target* target = &self.targets[number]
        cdef Datagram head
        cdef FlowSample flow
        cdef CounterSample counters
        cdef SampleKind kind
        cdef const uint8_t* begin
        cdef uint32_t count = 0, wire
        cdef size_t used = self.used, before, size
        cdef uint8_t* out = NULL
        if open_datagram(&head, at, length) != ACCEPTED:
            return
        before = head.rest.at - at
        while True:
            begin = head.rest.at
            kind = next_sample(&head, &flow, &counters)
            if kind == END:
                break
            if not (((kind == FLOW or kind == DISCARD) and self.wants_flow(target, &head.agent[0], &flow))
                    or (kind == COUNTERS and self.wants_counters(target, &head.agent[0], &counters))):
                continue
            if out == NULL:                         # room for all that may follow; what is left of it is given back
                out = self.room(number, length)
                if out == NULL:
                    return
                memcpy(out, at, before)
                size = before
            memcpy(out + size, begin, head.rest.at - begin)
            size += head.rest.at - begin
            count += 1
        if out != NULL:
            wire = swap32(count)
            memcpy(out + before - 4, &wire, 4)
            (<Waiting*>(self.waiting + used)).length = <uint32_t>size
            self.used = used + sizeof(Waiting) + size
            target.samples += count

    cdef bint wants_flow(self, const Target* target, const uint64_t* agent, const FlowSample* flow) noexcept nogil:
        cdef int depth, slot
        cdef uint32_t i
        cdef const uint8_t* at
        if ((flow.source_class == 0 and is_port(target, agent, flow.source_index))
                or (flow.in_format == 0 and is_port(target, agent, flow.in_value))
                or (flow.out_format == 0 and is_port(target, agent, flow.out_value))):
            return 1
        if target.prefix_count == 0 and target.mac_count == 0:
            return 0
        describe(self.fields, flow.frame_length, flow.stripped, 0, 0, 0, 0, UNKNOWN)
        describe_records(self.fields, flow)
        if flow.header != NULL:
            dissect(self.fields, flow.protocol, flow.header, flow.length)
        for depth in range(DEPTH):
            slot = depth * LAYER
            at = self.fields.at[slot + ETH]
            if (self.fields.present[depth] >> ETH) & 1 and self.fields.end[slot + ETH] >= at + 12:
                for i in range(target.mac_count):
                    if memcmp(at, target.macs + 6 * i, 6) == 0 or memcmp(at + 6, target.macs + 6 * i, 6) == 0:
                        return 1
            at = self.fields.at[slot + IP]
            if (self.fields.present[depth] >> IP) & 1 and self.fields.end[slot + IP] >= at + 20:
                if is_within(target, at + 12, 4) or is_within(target, at + 16, 4):
                    return 1
            at = self.fields.at[slot + IP6]
            if (self.fields.present[depth] >> IP6) & 1 and self.fields.end[slot + IP6] >= at + 40:
                if is_within(target, at + 8, 16) or is_within(target, at + 24, 16):
                    return 1
        return 0

    cdef bint wants_counters(self, const Target* target, const uint64_t* agent,
                             const CounterSample* counters) noexcept nogil:
        return counters.source_class == 0 and is_port(target, agent, counters.source_index)

    def take_waiting(self) -> list:
        """What waits to be sent, oldest first: [(number of the target, datagram)]."""
        cdef const uint8_t* at = self.waiting
        cdef Waiting head
        found = []
        while at < self.waiting + self.used:
            memcpy(&head, at, sizeof(Waiting))
            at += sizeof(Waiting)
            found.append((head.target, (<const char*>at)[:head.length]))
            at += head.length
        self.used = 0
        return found

    def numbers(self) -> list:
        """Of each target: (datagrams and samples that were to be sent, datagrams that were lost for lack of room)."""
        return [(self.targets[i].datagrams, self.targets[i].samples, self.targets[i].lost)
                for i in range(self.target_count)]


cdef Place* places(list found) except NULL:
    """(packed address of the agent, ifIndex) as the wire's decoder has them."""
    cdef uint32_t i
    cdef Place* made = <Place*>calloc(len(found) + 1, sizeof(Place))
    if made == NULL:
        raise MemoryError
    for i, (address, index) in enumerate(found):
        made[i].agent[0] = 1 if len(address) == 4 else 2
        memcpy(&made[i].agent[1], <const char*>address, len(address))
        made[i].index = index
    return made
