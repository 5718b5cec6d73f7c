"""Accounting of what arrived: agents, data sources, and gaps in sequence numbers (sflow-wire.md section 1).

Datagram sequences run per (agent, sub-agent), sample sequences per (agent, sub-agent, source id, kind of sample). A gap
counts as loss at once; an arrival out of order inside the last 64 takes one back. A number far away, or one that goes
back together with the agent's uptime, is a restart and no loss. After a restart of the sub-agent its samples'
sequences start anew too.

An agent or a data source has an index while it is LIVE. Addresses are forged easily, so:

- Of those seen once only so many are taken in; beyond that a newcomer is refused until it repeats (seenonce.pxd).
- Who is silent for IDLE_S, or for as long as he was known, if that was less, is GONE (but no newcomer before NEW_S).
- When nearly all indexes are used, those go first that sent the fewest datagrams or samples: who has been here for
  long stays, and a newcomer who repeats outlives those who do not.

An index that is GONE is found no more, but flows, limits and counters still have it. `expire` says which ones are
gone; when its caller has seen to it that nothing has them any more, `reuse` makes them FREE. All of this happens
between batches. Sequences, which are many, are not told: they have the serial number of their agent, which is not used
again, and go when they were not used for some sweeps.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from analytics.core.seenonce cimport seen_once_close, seen_once_open, was_seen_once
from analytics.core.table cimport (
    HashTable, Segment, cell_of, cell_with, digest, find, insert, payload_of, remove, segment_at, shrink, table_close,
    table_open, was_met,
)
from analytics.core.staticassert cimport static_assert
from analytics.core.wire.sflow cimport Datagram
from analytics.core.wire.xdr cimport be32, left

cdef enum:
    MOST_NEW_AGENTS = 1024                          # seen once and taken in
    MOST_NEW_SOURCES = 8192
    AGENT_TAGS = 1 << 17                            # of the filters that newcomers beyond that must pass
    SOURCE_TAGS = 1 << 18
    MOST_NAMES = 1000                               # names of data sources
    SERIALS = 0x3FFFFFFF                            # 30 bits, which keys of sequences have room for
    SAMPLED = 1024                                  # indexes looked at to find out who sent the fewest
    AT_ONCE = 4096                                  # indexes looked at in one turn of the lock
    UNUSED_SWEEPS = 40                              # after so many a sequence goes,
    UNUSED_SWEEPS_CROWDED = 4                       # after these when 7/8 of the table are used
    FAR = 65536                                     # a larger jump forward is a restart
    WRAP_MS = 600000                                # an uptime that goes on by less has wrapped (after 49.7 days)
    RESTART_MS = 5000                               # datagrams may overtake each other by less than this

cdef double IDLE_S = 600.0
cdef double NEW_S = 120.0                           # longer than switches take between two counter samples

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
    """`most_agents`, `most_sources`: live ones; `most_bytes`: of the sequences."""

    def __cinit__(self, uint64_t seed, uint32_t most_agents, uint32_t most_sources, uint64_t most_bytes):
        self.most_agents, self.most_sources = most_agents, most_sources
        self.fresh = <uint32_t*>malloc(MOST_FRESH * sizeof(uint32_t))
        if not (table_open(&self.agent_of, 3, 8, most_agents, ~<uint64_t>0, seed)
                and table_open(&self.source_of, 2, 8, most_sources, ~<uint64_t>0, seed)
                and table_open(&self.sequence_of, 3, sizeof(Sequence), ~<uint64_t>0, most_bytes, seed)
                and seen_once_open(&self.agents_seen, AGENT_TAGS) and seen_once_open(&self.sources_seen, SOURCE_TAGS)
                and self.fresh != NULL):
            raise MemoryError
        self.names, self.named, self.name_uses = [], {}, []
        self.gone_agents, self.gone_sources = [], []
        memset(self.recent, 0xFF, sizeof(self.recent))  # no agent

    def __dealloc__(self):
        table_close(&self.agent_of)
        table_close(&self.source_of)
        table_close(&self.sequence_of)
        seen_once_close(&self.agents_seen)
        seen_once_close(&self.sources_seen)
        free(self.agents)
        free(self.sources)
        free(self.fresh)

    cdef uint32_t agent(self, const uint64_t* address, double now) noexcept nogil:
        """The index of an agent address, made when it is new; NO_INDEX when there are too many."""
        cdef uint64_t hash
        cdef uint8_t* found
        cdef Agent* state
        if self.latest >= self.agent_count or memcmp(self.agents[self.latest].address, address, 24) != 0:
            hash = digest(&self.agent_of, address)
            found = find(&self.agent_of, address, hash)
            if found == NULL:
                return self.new_agent(address, hash, now)
            self.latest = (<uint32_t*>found)[0]
        state = &self.agents[self.latest]
        state.last_seen = now
        if not state.repeated:
            state.repeated = 1
            self.new_agents -= 1
        return self.latest

    cdef uint32_t known_agent(self, const uint64_t* address) noexcept nogil:
        """The index of an agent that sent more than one datagram, else NO_INDEX."""
        cdef uint8_t* found = find(&self.agent_of, address, digest(&self.agent_of, address))
        cdef uint32_t agent
        if found == NULL:
            return NO_INDEX
        agent = (<uint32_t*>found)[0]
        return agent if self.agents[agent].repeated else NO_INDEX

    cdef uint32_t new_agent(self, const uint64_t* address, uint64_t hash, double now) noexcept nogil:
        cdef uint32_t index = self.free_agent
        cdef bint repeated = was_seen_once(&self.agents_seen, hash)
        cdef Agent* grown
        cdef uint8_t* payload = NULL
        while index < self.agent_count and self.agents[index].life != FREE:
            index += 1
        self.free_agent = index
        if index == self.agent_capacity:
            grown = <Agent*>realloc(self.agents, (index + index // 2 + 16) * sizeof(Agent))
            if grown == NULL:
                return NO_INDEX
            self.agents, self.agent_capacity = grown, index + index // 2 + 16
        if repeated or self.new_agents < MOST_NEW_AGENTS:
            payload = insert(&self.agent_of, address, hash)
        if payload == NULL:
            self.agents_refused += 1
            return NO_INDEX
        (<uint32_t*>payload)[0] = index
        self.agent_count = max(self.agent_count, index + 1)
        self.live_agents += 1
        self.new_agents += not repeated
        self.serial = (self.serial + 1) & SERIALS
        memset(&self.agents[index], 0, sizeof(Agent))
        memcpy(self.agents[index].address, address, 24)
        self.agents[index].first_seen = self.agents[index].last_seen = now
        self.agents[index].life, self.agents[index].serial, self.agents[index].repeated = LIVE, self.serial, repeated
        self.latest = index
        return index

    cdef uint32_t source(self, uint32_t agent, uint32_t kind, uint32_t index, double now) noexcept nogil:
        """The index of a data source of an agent as datagrams number it, made when it is new; NO_INDEX when there
        are too many, or for a class that no agent can mean. Counts a sample of it."""
        if kind == NAMED or kind == WHOLE:
            self.sources_refused += 1
            return NO_INDEX
        return self.source_index(agent, kind, index, now)

    cdef uint32_t whole_agent(self, uint32_t agent, double now) noexcept nogil:
        """The index of the data source that stands for all of an agent's, whose samples are flow samples."""
        cdef uint32_t source = self.source_index(agent, WHOLE, 0, now)
        if source != NO_INDEX:
            self.sources[source].last_flow = now
        return source

    cdef uint32_t source_index(self, uint32_t agent, uint32_t kind, uint32_t index, double now) noexcept nogil:
        """The index of a data source, of class NAMED too."""
        cdef uint64_t[2] key
        cdef uint64_t hash
        cdef uint32_t found
        cdef uint8_t* payload
        cdef Recent* recent = &self.recent[(index ^ agent * 37) & (MOST_RECENT - 1)]  # every Open vSwitch is index 1000
        if recent.agent != agent or recent.index != index or recent.kind != kind:
            key[0] = <uint64_t>agent << 32 | kind
            key[1] = index
            hash = digest(&self.source_of, key)
            payload = find(&self.source_of, key, hash)
            if payload == NULL:
                found = self.new_source(key, hash, agent, kind, index, now)
                if found == NO_INDEX:
                    return NO_INDEX
            else:
                found = (<uint32_t*>payload)[0]
            recent[0] = Recent(agent, kind, index, found)
        self.sources[recent.source].samples += 1
        self.new_sources -= self.sources[recent.source].samples == 2
        return recent.source

    cdef uint32_t new_source(self, const uint64_t* key, uint64_t hash, uint32_t agent, uint32_t kind, uint32_t index,
                             double now) noexcept nogil:
        cdef uint32_t found = self.free_source
        cdef bint repeated = was_seen_once(&self.sources_seen, hash)
        cdef Source* grown
        cdef uint8_t* payload = NULL
        while found < self.source_count and self.sources[found].life != FREE:
            found += 1
        self.free_source = found
        if found == self.source_capacity:
            grown = <Source*>realloc(self.sources, (found + found // 2 + 64) * sizeof(Source))
            if grown == NULL:
                return NO_INDEX
            self.sources, self.source_capacity = grown, found + found // 2 + 64
        if ((repeated or self.new_sources < MOST_NEW_SOURCES) and self.fresh_count < MOST_FRESH
                and self.agents[agent].live < max(self.most_sources // 4, <uint32_t>64)):
            payload = insert(&self.source_of, key, hash)
        if payload == NULL:
            self.sources_refused += 1
            return NO_INDEX
        (<uint32_t*>payload)[0] = found
        self.source_count = max(self.source_count, found + 1)
        self.live_sources += 1
        self.agents[agent].live += 1
        self.new_sources += not repeated
        self.sources[found] = Source(agent, kind, index, LIVE, 0, 2 if repeated else 0, now, 0.0, 0.0)
        self.fresh[self.fresh_count] = found
        self.fresh_count += 1
        return found

    cdef uint32_t named_source(self, uint32_t agent, str name, double now):
        """The index of a data source that has a name of its own; NO_INDEX when there are too many names.

        A name that reads like a number is kept apart from the data sources that have numbers.
        """
        cdef uint32_t source
        if name.replace(".", "").isdigit():
            name = f"rtmetric.{name}"
        index = self.named.get(name)
        if index is None:
            if len(self.named) == MOST_NAMES:
                return NO_INDEX
            if len(self.names) == len(self.named):
                self.names.append(None)
                self.name_uses.append(0)
            index = self.names.index(None)
            self.names[index], self.named[name] = name, index
        fresh = self.fresh_count
        source = self.source_index(agent, NAMED, index, now)
        self.name_uses[index] += self.fresh_count - fresh
        if self.name_uses[index] == 0:
            self.names[index] = None
            del self.named[name]
        return source

    # -- going: between batches --

    def expire(self, uint32_t position, double now) -> int:
        """Let those go who are over, from `position` on, agents before data sources; their indexes are appended to
        `gone_agents` and `gone_sources`. Answers where to go on, 0 at the end."""
        cdef uint32_t i, first
        if position == 0:
            self.note_fewest()
        for i in range(position, min(position + AT_ONCE, self.agent_count)):
            if self.agents[i].life == LIVE and self.agent_is_over(&self.agents[i], now):
                self.drop_agent(i)
        if position < self.agent_count:
            return position + AT_ONCE
        first = position - (self.agent_count + AT_ONCE - 1) // AT_ONCE * AT_ONCE
        for i in range(first, min(first + AT_ONCE, self.source_count)):
            if self.sources[i].life == LIVE and self.source_is_over(&self.sources[i], now):
                self.drop_source(i)
        return position + AT_ONCE if first + AT_ONCE < self.source_count else 0

    cdef void note_fewest(self) noexcept:
        """Who must go when nearly all indexes are used: the sixteenth that sent the fewest, of some of them."""
        cdef uint32_t i, step
        self.fewest = self.fewest_samples = 0
        if self.live_agents * 16 > self.most_agents * 15:
            step = max(1, self.agent_count // SAMPLED)
            sent = sorted([self.agents[i].datagrams.received for i in range(0, self.agent_count, step)
                           if self.agents[i].life == LIVE])
            self.fewest = sent[len(sent) // 16] + 1
        if self.live_sources * 16 > self.most_sources * 15:
            step = max(1, self.source_count // SAMPLED)
            sent = sorted([self.sources[i].samples for i in range(0, self.source_count, step)
                           if self.sources[i].life == LIVE])
            self.fewest_samples = sent[len(sent) // 16] + 1

    cdef bint agent_is_over(self, const Agent* agent, double now) noexcept nogil:
        cdef double known = agent.last_seen - agent.first_seen
        if agent.datagrams.received < self.fewest and self.live_agents * 16 > self.most_agents * 15:
            return 1
        return now - agent.last_seen > min(IDLE_S, max(NEW_S, known))

    cdef bint source_is_over(self, const Source* source, double now) noexcept nogil:
        cdef double last = max(source.first_seen, max(source.last_flow, source.last_counter))
        if self.agents[source.agent].life != LIVE:
            return 1
        if source.samples < self.fewest_samples and self.live_sources * 16 > self.most_sources * 15:
            return 1
        return now - last > min(IDLE_S, max(NEW_S, last - source.first_seen))

    cdef void drop_agent(self, uint32_t agent) noexcept:
        cdef Agent* state = &self.agents[agent]
        take_out(&self.agent_of, state.address)
        memset(state.address, 0, sizeof(state.address))
        state.life = GONE
        self.live_agents -= 1
        self.new_agents -= not state.repeated
        self.gone_agents.append(agent)

    cdef void drop_source(self, uint32_t source) noexcept:
        cdef Source* it = &self.sources[source]
        cdef uint64_t[2] key
        key[0] = <uint64_t>it.agent << 32 | it.kind
        key[1] = it.index
        take_out(&self.source_of, key)
        memset(self.recent, 0xFF, sizeof(self.recent))
        it.life = GONE
        self.live_sources -= 1
        self.agents[it.agent].live -= 1
        self.new_sources -= it.samples < 2
        self.gone_sources.append(source)
        if it.kind == NAMED:
            self.name_uses[it.index] -= 1
            if self.name_uses[it.index] == 0:
                del self.named[self.names[it.index]]
                self.names[it.index] = None

    def reuse(self, uint32_t agents, uint32_t sources) -> None:
        """The oldest so many indexes that are gone may have new owners: nothing has them any more."""
        for source in self.gone_sources[:sources]:
            self.sources[<uint32_t>source].life = FREE
            self.free_source = min(self.free_source, <uint32_t>source)
        for agent in self.gone_agents[:agents]:
            self.agents[<uint32_t>agent].life = FREE
            self.free_agent = min(self.free_agent, <uint32_t>agent)
        del self.gone_sources[:sources]
        del self.gone_agents[:agents]
        while self.source_count and self.sources[self.source_count - 1].life == FREE:
            self.source_count -= 1
        while self.agent_count and self.agents[self.agent_count - 1].life == FREE:
            self.agent_count -= 1
        self.trim()

    cdef void trim(self) noexcept:
        """Give back memory behind the last index that is used."""
        cdef void* less
        if self.source_capacity > 4 * self.source_count + 1024:
            less = realloc(self.sources, (2 * self.source_count + 64) * sizeof(Source))
            if less != NULL:
                self.sources, self.source_capacity = <Source*>less, 2 * self.source_count + 64
        if self.agent_capacity > 4 * self.agent_count + 1024:
            less = realloc(self.agents, (2 * self.agent_count + 16) * sizeof(Agent))
            if less != NULL:
                self.agents, self.agent_capacity = <Agent*>less, 2 * self.agent_count + 16

    def sweep(self, uint64_t position) -> int:
        """Forget the sequences of one segment that nobody uses; answers where to go on, 0 at the end. Called some
        seconds apart: a sequence that was used in between stays."""
        cdef Segment segment = segment_at(&self.sequence_of, position)
        cdef uint64_t slot = 0
        cdef uint64_t* cell
        cdef Sequence* it
        cdef bint crowded = self.sequence_of.bytes * 8 > self.sequence_of.max_bytes * 7
        cdef uint32_t most = UNUSED_SWEEPS_CROWDED if crowded else UNUSED_SWEEPS
        with nogil:
            while slot < self.sequence_of.cells:
                cell = cell_of(&self.sequence_of, segment.start, slot)
                if cell[0] != 0 and not was_met(&segment, position, cell[0]):
                    it = <Sequence*>payload_of(&self.sequence_of, cell)
                    it.unused += 1
                    if it.unused > most or not self.is_of_agent(cell):
                        remove(&self.sequence_of, cell)  # may pull a neighbour into this slot: look again
                        continue
                slot += 1
            shrink(&self.sequence_of)
            shrink(&self.agent_of)
            shrink(&self.source_of)
        return segment.after

    def forget_sequences(self) -> None:
        """Every sequence begins anew with its next number, without loss, duplicates or restarts."""
        cdef uint64_t most_bytes = self.sequence_of.max_bytes, seed = self.sequence_of.seed
        cdef uint32_t agent
        table_close(&self.sequence_of)
        memset(self.found, 0, sizeof(self.found))
        for agent in range(self.agent_count):
            memset(self.agents[agent].sources, 0, sizeof(self.agents[agent].sources))
        if not table_open(&self.sequence_of, 3, sizeof(Sequence), ~<uint64_t>0, most_bytes, seed):
            raise MemoryError

    cdef bint is_of_agent(self, const uint64_t* cell) noexcept nogil:
        """Whether the agent of a sequence is still there."""
        cdef uint32_t agent = <uint32_t>(cell[1] >> 32)
        return (agent < self.agent_count and self.agents[agent].life == LIVE
                and self.agents[agent].serial == cell[2] >> 34)

    cdef Sequence* sequence(self, uint32_t agent, uint32_t sub_agent, uint32_t stream, uint32_t kind, uint32_t index,
                            bint* fresh) noexcept nogil:
        """The sequence of a stream (OF_...) of a data source (datagrams: of 0). NULL when there are too many."""
        cdef Found* last = &self.found[stream]
        cdef uint64_t agents = <uint64_t>agent << 32 | sub_agent
        cdef uint64_t kinds = <uint64_t>self.agents[agent].serial << 34 | <uint64_t>stream << 32 | kind
        cdef uint64_t hash
        fresh[0] = 0
        if (last.sequence != NULL and last.key[0] == agents and last.key[1] == kinds and last.key[2] == index
                and last.generation == self.sequence_of.generation):
            last.sequence.unused = 0
            return last.sequence
        last.key[0], last.key[1], last.key[2] = agents, kinds, index
        hash = digest(&self.sequence_of, last.key)
        last.sequence = <Sequence*>find(&self.sequence_of, last.key, hash)
        if last.sequence == NULL:
            fresh[0] = 1
            last.sequence = <Sequence*>insert(&self.sequence_of, last.key, hash)
        if last.sequence != NULL:
            last.sequence.unused = 0
        last.generation = self.sequence_of.generation
        return last.sequence

    cdef Order datagram(self, uint32_t agent, const Datagram* datagram, const uint8_t* sender,
                        uint16_t* epoch) noexcept nogil:
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
            seen.epoch += <uint16_t>(state.datagrams.restarts - restarts)
        if seen != NULL:
            if found == IN_ORDER:
                seen.uptime, seen.fingerprint = datagram.uptime, fingerprint
            epoch[0] = seen.epoch
        return found

    cdef Order sample(self, uint32_t agent, const Datagram* datagram, uint16_t epoch, uint32_t kind, uint32_t index,
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
        elif it.kind == WHOLE:
            name = "agent"
        else:
            name = str(it.index) if it.kind == 0 else f"{it.kind}.{it.index}"
        return it.agent, name, it.last_flow, it.last_counter

    @property
    def counts(self) -> tuple[int, int]:
        """(live agents, live data sources)."""
        return self.live_agents, self.live_sources

    def agents_from(self, uint32_t first, uint32_t count) -> list:
        """The live ones among `count` agent indexes; None behind the last one."""
        cdef uint32_t i
        if first >= self.agent_count:
            return None
        return [i for i in range(first, min(first + count, self.agent_count)) if self.agents[i].life == LIVE]

    def indexes(self) -> int:
        """One more than the highest index of a data source that is in use or gone."""
        return self.source_count

    @property
    def bytes(self) -> int:
        """Memory of all this."""
        return (self.agent_capacity * sizeof(Agent) + self.source_capacity * sizeof(Source) + self.agent_of.bytes
                + self.source_of.bytes + self.sequence_of.bytes + 2 * (AGENT_TAGS + SOURCE_TAGS) + 4 * MOST_FRESH)


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


cdef void take_out(HashTable* table, const uint64_t* key) noexcept nogil:
    """Remove a key that is there."""
    remove(table, cell_with(table, find(table, key, digest(table, key))))
