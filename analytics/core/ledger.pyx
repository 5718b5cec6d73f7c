"""Accounting of what arrived: agents, data sources, and gaps in sequence numbers (sflow-wire.md section 1).

Datagram sequences run per (agent, sub-agent), sample sequences per (agent, sub-agent, source id, kind of sample). A gap
counts as loss at once; an arrival out of order inside the last 64 takes one back. A number far away, or one that goes
back together with the agent's uptime, is a restart and no loss. After a restart of the sub-agent its samples'
sequences start anew too.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from analytics.core.flows.table cimport digest, find, insert, table_close, table_open
from analytics.core.staticassert cimport static_assert
from analytics.core.wire.sflow cimport Datagram
from analytics.core.wire.xdr cimport be32, left

cdef enum:
    MOST_AGENTS = 100000                            # sFlow-RT's design envelope; more are refused and counted
    MOST_SOURCES = 1000000                          # data sources of all agents together
    MOST_SEQUENCES = 2000000
    MOST_NAMES = 1000                               # names of data sources
    FAR = 65536                                     # a larger jump forward is a restart
    WRAP_MS = 600000                                # an uptime that goes on by less has wrapped (after 49.7 days)
    RESTART_MS = 5000                               # datagrams may overtake each other by less than this

static_assert(NEAR <= 64)                           # Sequence.window
static_assert(MOST_RECENT & (MOST_RECENT - 1) == 0)


cdef Order order(Sequence* seen, uint32_t number, bint restarted, Tally* tally) noexcept nogil:
    """Book one number. `restarted`: there is other evidence that the sender began anew."""
    cdef uint32_t ahead = number - seen.last
    cdef uint32_t behind = seen.last - number
    tally.received += 1
    if ahead != 0 and ahead < FAR and not (restarted and ahead > 1):
        tally.lost += ahead - 1
        seen.window = (seen.window << ahead if ahead < NEAR else 0) | 1
        seen.last = number
        return IN_ORDER
    if behind < NEAR and not (restarted and behind != 0):
        if (seen.window >> behind) & 1:
            tally.duplicate += 1
            return DUPLICATE
        seen.window |= <uint64_t>1 << behind
        tally.out_of_order += 1
        if tally.lost:
            tally.lost -= 1
        return OUT_OF_ORDER
    tally.restarts += 1
    begin(seen, number)
    return IN_ORDER


cdef void begin(Sequence* seen, uint32_t number) noexcept nogil:
    """Start a sequence at a number, with nothing before it known."""
    seen.last = number
    seen.window = 1


cdef class Ledger:
    def __cinit__(self, uint64_t seed):
        if not (table_open(&self.agent_of, 3, 8, MOST_AGENTS, seed)
                and table_open(&self.source_of, 2, 8, MOST_SOURCES, seed)
                and table_open(&self.sequence_of, 3, sizeof(Sequence), MOST_SEQUENCES, seed)):
            raise MemoryError
        self.names, self.named = [], {}
        memset(self.recent, 0xFF, sizeof(self.recent))  # no agent

    def __dealloc__(self):
        table_close(&self.agent_of)
        table_close(&self.source_of)
        table_close(&self.sequence_of)
        free(self.agents)
        free(self.sources)

    cdef uint32_t agent(self, const uint64_t* address, double now) noexcept nogil:
        """The index of an agent address, made when it is new; NO_INDEX when there are too many."""
        cdef uint64_t hash
        cdef uint8_t* found
        cdef Agent* grown
        if self.latest < self.agent_count and memcmp(self.agents[self.latest].address, address, 24) == 0:
            self.agents[self.latest].last_seen = now
            return self.latest
        hash = digest(&self.agent_of, address)
        found = find(&self.agent_of, address, hash)
        if found == NULL:
            if self.agent_count == self.agent_capacity:
                grown = <Agent*>realloc(self.agents, (self.agent_capacity * 2 + 16) * sizeof(Agent))
                if grown == NULL:
                    return NO_INDEX
                self.agents, self.agent_capacity = grown, self.agent_capacity * 2 + 16
            found = insert(&self.agent_of, address, hash)
            if found == NULL:
                return NO_INDEX
            memset(&self.agents[self.agent_count], 0, sizeof(Agent))
            memcpy(self.agents[self.agent_count].address, address, 24)
            self.agents[self.agent_count].first_seen = now
            (<uint32_t*>found)[0] = self.agent_count
            self.agent_count += 1
        self.latest = (<uint32_t*>found)[0]
        self.agents[self.latest].last_seen = now
        return self.latest

    cdef uint32_t source(self, uint32_t agent, uint32_t kind, uint32_t index) noexcept nogil:
        """The index of a data source of an agent as datagrams number it, made when it is new; NO_INDEX when there
        are too many, or for a class that no agent can mean."""
        return NO_INDEX if kind == NAMED else self.source_index(agent, kind, index)

    cdef uint32_t source_index(self, uint32_t agent, uint32_t kind, uint32_t index) noexcept nogil:
        """The index of a data source, of class NAMED too."""
        cdef uint64_t[2] key
        cdef uint64_t hash
        cdef uint8_t* found
        cdef Source* grown
        cdef Recent* recent = &self.recent[(index ^ agent * 37) & (MOST_RECENT - 1)]  # every Open vSwitch is index 1000
        if recent.agent == agent and recent.index == index and recent.kind == kind:
            return recent.source
        key[0] = <uint64_t>agent << 32 | kind
        key[1] = index
        hash = digest(&self.source_of, key)
        found = find(&self.source_of, key, hash)
        if found == NULL:
            if self.source_count == self.source_capacity:
                grown = <Source*>realloc(self.sources, (self.source_capacity * 2 + 64) * sizeof(Source))
                if grown == NULL:
                    return NO_INDEX
                self.sources, self.source_capacity = grown, self.source_capacity * 2 + 64
            found = insert(&self.source_of, key, hash)
            if found == NULL:
                return NO_INDEX
            self.sources[self.source_count] = Source(agent, kind, index, 0.0, 0.0)
            (<uint32_t*>found)[0] = self.source_count
            self.source_count += 1
        recent[0] = Recent(agent, kind, index, (<uint32_t*>found)[0])
        return recent.source

    cdef uint32_t named_source(self, uint32_t agent, str name):
        """The index of a data source that has a name of its own; NO_INDEX when there are too many names.

        A name that reads like a number is kept apart from the data sources that have numbers.
        """
        if name.replace(".", "").isdigit():
            name = f"rtmetric.{name}"
        index = self.named.get(name)
        if index is None:
            if len(self.names) == MOST_NAMES:
                return NO_INDEX
            index = self.named[name] = len(self.names)
            self.names.append(name)
        return self.source_index(agent, NAMED, index)

    cdef Sequence* sequence(self, uint32_t agent, uint32_t sub_agent, uint32_t stream, uint32_t kind, uint32_t index,
                            bint* fresh) noexcept nogil:
        """The sequence of a stream (OF_...) of a data source (datagrams: of 0). NULL when there are too many."""
        cdef Found* last = &self.found[stream]
        cdef uint64_t agents = <uint64_t>agent << 32 | sub_agent
        cdef uint64_t kinds = <uint64_t>stream << 32 | kind
        cdef uint64_t hash
        fresh[0] = 0
        if (last.sequence != NULL and last.key[0] == agents and last.key[1] == kinds and last.key[2] == index
                and last.generation == self.sequence_of.generation):
            return last.sequence
        last.key[0], last.key[1], last.key[2] = agents, kinds, index
        hash = digest(&self.sequence_of, last.key)
        last.sequence = <Sequence*>find(&self.sequence_of, last.key, hash)
        if last.sequence == NULL:
            fresh[0] = 1
            last.sequence = <Sequence*>insert(&self.sequence_of, last.key, hash)
        last.generation = self.sequence_of.generation
        return last.sequence

    cdef Order datagram(self, uint32_t agent, const Datagram* datagram, const uint8_t* sender,
                        uint32_t* epoch) noexcept nogil:
        """Book a datagram. DUPLICATE: it is the last one again, its samples must not count again.

        A number seen before is not enough for that: two exporters may wrongly share an identity, and some never count.
        """
        cdef Agent* state = &self.agents[agent]
        cdef bint fresh, restarted
        cdef Order found = IN_ORDER
        cdef uint64_t fingerprint = left(&datagram.rest)
        cdef uint64_t restarts = state.datagrams.restarts
        cdef Sequence* seen = self.sequence(agent, datagram.sub_agent, OF_DATAGRAMS, 0, 0, &fresh)
        if fingerprint >= 12:                       # length, and the sequence number of the first sample
            fingerprint |= <uint64_t>be32(datagram.rest.at + 8) << 32
        if sender != NULL:
            note_sender(state, sender)
        state.uptime = datagram.uptime
        if seen == NULL or fresh:
            state.datagrams.received += 1
            if fresh and seen != NULL:
                begin(seen, datagram.sequence)
        else:
            restarted = (datagram.uptime < seen.uptime and seen.uptime - datagram.uptime > RESTART_MS
                         and <uint32_t>(datagram.uptime - seen.uptime) > WRAP_MS)
            found = order(seen, datagram.sequence, restarted, &state.datagrams)
            if found == DUPLICATE and (datagram.sequence != seen.last or datagram.uptime != seen.uptime
                                       or fingerprint != seen.fingerprint):
                found = IN_ORDER
            seen.epoch += <uint32_t>(state.datagrams.restarts - restarts)
        if seen != NULL:
            if found == IN_ORDER:
                seen.uptime, seen.fingerprint = datagram.uptime, fingerprint
            epoch[0] = seen.epoch
        return found

    cdef Order sample(self, uint32_t agent, const Datagram* datagram, uint32_t epoch, uint32_t kind, uint32_t index,
                      uint32_t sequence, uint32_t drops, uint32_t stream) noexcept nogil:
        """Book a flow, counter or discard sample of a data source."""
        cdef Agent* state = &self.agents[agent]
        cdef Tally* tally = &state.samples[stream]
        cdef bint fresh
        cdef Sequence* seen = self.sequence(agent, datagram.sub_agent, stream, kind, index, &fresh)
        if fresh and seen != NULL:
            state.sources[stream] += 1
        if seen == NULL or fresh or seen.epoch != epoch:
            tally.received += 1
            if seen != NULL:
                begin(seen, sequence)
                seen.epoch, seen.drops = epoch, drops
            return IN_ORDER
        if drops - seen.drops < FAR:
            state.drops[stream] += drops - seen.drops
        seen.drops = drops
        return order(seen, sequence, 0, tally)

    def address(self, uint32_t agent) -> bytes:
        """An agent's address: 4 or 16 bytes."""
        return (<const char*>&self.agents[agent].address[1])[:4 if self.agents[agent].address[0] == 1 else 16]

    def agent_values(self, uint32_t agent) -> dict:
        """Everything booked for an agent, as plain values (times as `now` was given, uptime in ms)."""
        cdef Agent* state = &self.agents[agent]
        senders = [(<const char*>state.sender[i])[:16] for i in range(state.senders)]
        return {"first_seen": state.first_seen, "last_seen": state.last_seen, "uptime": state.uptime,
                "senders": senders, "bytes": state.bytes, "faults": state.faults,
                "skipped": state.skipped, "datagrams": state.datagrams,
                "flows": stream_values(state, OF_FLOWS), "counters": stream_values(state, OF_COUNTERS),
                "discards": stream_values(state, OF_DISCARDS)}

    def source_values(self, uint32_t source) -> tuple[int, str, float, float]:
        """(agent index, name, time of the last flow sample, of the last counter sample) of a data source."""
        cdef Source* it = &self.sources[source]
        if it.kind == NAMED:
            name = self.names[it.index]
        else:
            name = str(it.index) if it.kind == 0 else f"{it.kind}.{it.index}"
        return it.agent, name, it.last_flow, it.last_counter

    @property
    def counts(self) -> tuple[int, int]:
        """(number of agents, number of data sources)."""
        return self.agent_count, self.source_count


cdef dict stream_values(const Agent* state, uint32_t stream):
    """A tally, with its number of data sources and what the agent itself says that it dropped."""
    values = dict(state.samples[stream])
    return values | {"sources": state.sources[stream], "drops": state.drops[stream]}


cdef void note_sender(Agent* state, const uint8_t* sender) noexcept nogil:
    cdef uint32_t i
    for i in range(state.senders):
        if memcmp(state.sender[i], sender, 16) == 0:
            return
    if state.senders < MOST_SENDERS:
        memcpy(state.sender[state.senders], sender, 16)
        state.senders += 1
