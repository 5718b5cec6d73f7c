"""Which entries a sample counts for: its microflow has them, or every definition makes its key.

    free_slot -> (the caller describes and dissects the sample there)
    take -> [some samples later] fetch_entries of its microflow -> [some samples later] classify
         -> it has one: add up;  else per definition: stage -> [STAGES later] update

The steps are apart so that the memory can bring what the next one reads: a microflow, an entry, a cell. `finish` ends
all of them; nothing is under way outside of a batch. Computed keys without a key id, and notices (limits that were
crossed, flow records), wait for `settle`, which has the GIL. What a microflow is: microflows.pxd.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport (
    DEPTH, DIRECTION, EGRESS, IP, OUTPUT, SLOT_WORDS, TCP, UDP, Fields, prepare,
)
from analytics.core.flows.entry cimport Value
from analytics.core.flows.flowcache cimport MOST_FLOWS, FlowCache, add_up
from analytics.core.flows.flowkeys cimport (
    KEY_WORDS, KeyPlan, gather_carried, gather_computed, gather_derived, gather_value, is_last_of_connection,
)
from analytics.core.flows.keyids cimport KeyId, key_id_of
from analytics.core.flows.microflows cimport (
    Microflow, fetch_place, find_amounts, hash_of, is_worth_it, microflow_place, microflows_close, microflows_open,
    microflows_sweep,
)
from analytics.core.flows.notices cimport CLEARED, CROSSED, RECORDED, Notice, are_half_full
from analytics.core.flows.sequential cimport Draw
from analytics.core.flows.statistics cimport Observation, observation_of
from analytics.core.ledger cimport NO_INDEX, Ledger
from analytics.core.seenonce cimport fetch_tag, was_seen_once
from analytics.core.table cimport HashTable, cell_with, digest, digest_of, fetch, fetch_cell, find
from analytics.core.staticassert cimport static_assert
from analytics.core.wire.xdr cimport be32

cdef enum:
    MOST_DEFERRED = 4096                            # deferred samples: those beyond are refused
    MANY_DEFERRED = 256                             # with so many the GIL is taken in mid-batch
    MOST_NOTICES = 4096
    MOST_COMPUTED = 20000                           # keys that Python computes between two calls of `allow`,
    MOST_COMPUTED_AT_ONCE = 400                     # and in one turn: about 4 ms

static_assert(UNDER_WAY & (UNDER_WAY - 1) == 0)     # running numbers wrap
static_assert(STAGES & (STAGES - 1) == 0)
static_assert(LAG < STAGES)


cdef uint32_t feed_of(FlowCache cache):
    """The feed that a definition is given."""
    if cache.program.dropped:
        return DISCARDS_OBSERVED if cache.plan.value_count else DISCARDED
    if cache.is_tested:
        return TESTED
    return OBSERVED if cache.plan.value_count else SAMPLED


cdef uint32_t packet_of(const Fields* fields) noexcept nogil:
    """A number by which two switches know that they sampled one packet of a flow; 0: there is none. From what neither
    changes: TCP's sequence and acknowledgement numbers, the length, checksum and first bytes of UDP, IPv4's id."""
    cdef uint64_t some
    cdef uint32_t slot = TCP
    if not fields.present[0] >> TCP & 1:
        slot = UDP
        if not fields.present[0] >> UDP & 1:
            slot = IP
            if not fields.present[0] >> IP & 1:
                return 0
    if fields.at[slot] + 12 > fields.end[slot]:
        return 0
    memcpy(&some, fields.at[slot] + 4, 8)
    if slot == IP:                                  # of which the id; what follows changes on the way
        return be32(fields.at[IP] + 4) >> 16
    return <uint32_t>(digest_of(0x5851F42D4C957F2DULL, &some, 1) >> 32) | 1


cdef bint draw_of(const Fields* fields, const KeyPlan* plan, uint32_t rate, Draw* draw) noexcept nogil:
    """What a test takes of a sample; 0 when it lacks the value."""
    if not gather_value(fields, plan, &draw.amount):
        return 0
    draw.rate, draw.packet, draw.output = rate, packet_of(fields), 0
    if fields.present[DEPTH] >> (OUTPUT & 63) & 1 and be32(fields.at[OUTPUT]) == 0:
        draw.output = be32(fields.at[OUTPUT] + 4)
    draw.leaving = fields.present[DEPTH] >> (DIRECTION & 63) & 1 and be32(fields.at[DIRECTION]) == EGRESS
    return 1


cdef inline void fetch_staged(Staged* item) noexcept nogil:
    """Digest a staged key and ask the memory for its cell."""
    item.hash = digest(item.flows, item.key)
    fetch_cell(item.flows, item.hash)


cdef class Classifier:
    """`seed` of all hashes; `max_microflow_bytes` bounds the microflows. Callers hold the pipeline's lock.

    New computed keys cost Python. Beyond MOST_COMPUTED a key is computed only if it was seen before, and never are more
    than MOST_COMPUTED_AT_ONCE computed in one turn; the others' samples are refused and counted.
    """

    def __cinit__(self, Ledger ledger not None, uint64_t seed, uint64_t max_microflow_bytes):
        cdef uint32_t i
        self.max_microflow_bytes, self.era = max_microflow_bytes, 1
        self.ledger = ledger
        self.seed = seed
        self.caches = []
        for i in range(UNDER_WAY):
            prepare(&self.samples[i].fields)
        self.deferred = <Deferred*>malloc(MOST_DEFERRED * sizeof(Deferred))
        self.notices.items = <Notice*>malloc(MOST_NOTICES * sizeof(Notice))
        self.notices.capacity = MOST_NOTICES
        if not (self.deferred and self.notices.items):
            raise MemoryError

    def __dealloc__(self):
        free(self.deferred)
        free(self.notices.items)
        microflows_close(&self.microflows)

    def add(self, program, uint64_t max_entries, uint64_t max_bytes) -> FlowCache:
        """Start to accumulate a compiled definition. OverflowError: there are MOST_FLOWS already."""
        if self.slot_count == MOST_FLOWS:
            raise OverflowError(f"more than {MOST_FLOWS} flow definitions")
        cache = FlowCache(program, max_entries, max_bytes, self.ledger, self.seed)
        (<FlowCache>cache).report_to(&self.notices)
        self.caches.append(cache)
        self.assign()
        return cache

    def drop(self, FlowCache cache) -> None:
        """Stop accumulating a definition; its entries go with the last reference to it."""
        self.caches.remove(cache)
        self.assign()

    def assign(self) -> None:
        """Give every definition the samples that it takes; called when its tests have changed."""
        cdef uint32_t slot, feed
        self.slot_count = len(self.caches)
        memset(self.fed_count, 0, sizeof(self.fed_count))
        for slot in range(self.slot_count):
            self.slots[slot] = <void*>self.caches[slot]
            (<FlowCache>self.slots[slot]).slot = slot
            feed = feed_of(self.caches[slot])
            self.fed[feed][self.fed_count[feed]] = self.slots[slot]
            self.fed_count[feed] += 1
        microflows_open(&self.microflows, [cache for cache in self.caches if feed_of(cache) == SAMPLED], self.seed,
                        self.max_microflow_bytes)

    cdef bint is_half_full(self) noexcept nogil:
        """It is time to `settle`."""
        return self.deferred_count >= MANY_DEFERRED or are_half_full(&self.notices)

    cdef UnderWay* free_slot(self) noexcept nogil:
        """Where the caller writes the next sample."""
        cdef UnderWay* it = &self.samples[self.sample_head % UNDER_WAY]
        cdef uint32_t word
        for word in range(SLOT_WORDS):              # of what stood there before: fresh stores would stall this
            self.present[word] |= it.fields.present[word]
        return it

    cdef void take(self, UnderWay* it, double now) noexcept nogil:
        """Take the flow sample just written: make its microflow key, and ask the memory for its microflow."""
        it.hash = 0
        if is_worth_it(&self.microflows) and find_amounts(&self.microflows, &it.fields, it.rate, it.amounts):
            it.hash = hash_of(&self.microflows, &it.fields, it.source)
        if it.hash:
            fetch_place(&self.microflows, it.hash)
        self.sample_head += 1
        if self.sample_head - self.sample_next > UNDER_WAY - AWAITED:
            self.fetch_entries()
        if self.sample_head - self.sample_tail == UNDER_WAY:
            self.classify(now)

    cdef void take_discard(self, UnderWay* it, double now) noexcept nogil:
        """Take the discard just written: discards are rare, and have no microflows."""
        cdef uint32_t slot
        for slot in range(self.fed_count[DISCARDED]):
            self.stage(<FlowCache>self.fed[DISCARDED][slot], it, now)
        for slot in range(self.fed_count[DISCARDS_OBSERVED]):
            self.observe(<FlowCache>self.fed[DISCARDS_OBSERVED][slot], it, now)
        self.notice_moves()

    cdef void notice_moves(self) noexcept nogil:
        """Called after whatever may move entries; where memory of entries was given back, an era ends."""
        cdef uint32_t slot
        cdef uint64_t released = 0
        cdef const HashTable* flows
        self.generation = 0
        for slot in range(self.fed_count[SAMPLED]):
            flows = &(<FlowCache>self.fed[SAMPLED][slot]).flows
            self.generation += flows.generation
            released += flows.released
        self.era += released != self.released
        self.released = released

    cdef void notice_names(self) noexcept nogil:
        """Called after whatever may forget key ids, or give an index to another data source: that ends an era."""
        cdef uint32_t slot
        cdef uint64_t names = self.reused
        for slot in range(self.fed_count[SAMPLED]):
            names += (<FlowCache>self.fed[SAMPLED][slot]).key_ids.table.generation
        self.era += names != self.names
        self.names = names

    cdef void begin(self) noexcept nogil:
        """Called before a batch, and after what others did meanwhile."""
        self.notice_moves()
        self.notice_names()

    cdef void look_up(self, UnderWay* it) noexcept nogil:
        """Find the microflow of a sample."""
        it.microflow = <Microflow*>find(&self.microflows.table, &it.hash, it.hash)
        it.found = self.microflows.table.generation

    cdef void fetch_entries(self) noexcept nogil:
        """Ask the memory for the entries of the next sample's microflow, or for the tag that says it was seen once."""
        cdef UnderWay* it = &self.samples[self.sample_next % UNDER_WAY]
        cdef uint32_t slot
        self.sample_next += 1
        if it.hash == 0:
            return
        self.look_up(it)
        if it.microflow == NULL:
            fetch_tag(&self.microflows.seen_once, it.hash)
            return
        for slot in range(self.fed_count[SAMPLED]):
            fetch(it.microflow.entries[slot], 1)

    cdef void classify(self, double now) noexcept nogil:
        """Give the oldest sample under way to every definition, or to the entries of its microflow."""
        cdef UnderWay* it = &self.samples[self.sample_tail % UNDER_WAY]
        cdef Fate[MOST_FLOWS] fates
        cdef Microflow* microflow
        cdef Value* entry
        cdef uint32_t slot
        self.sample_tail += 1
        for slot in range(self.fed_count[OBSERVED]):
            self.observe(<FlowCache>self.fed[OBSERVED][slot], it, now)
        for slot in range(self.fed_count[TESTED]):
            self.examine(<FlowCache>self.fed[TESTED][slot], it, now)
        microflow = NULL
        if it.hash:
            if it.microflow == NULL or it.found != self.microflows.table.generation:
                self.look_up(it)
            microflow = it.microflow
        if microflow != NULL and microflow.era == self.era and (
                microflow.generation == self.generation or self.is_whole(microflow)):
            self.microflows.found += 1
            self.by_microflow += 1
            if microflow.unused:
                microflow.unused = 0
            for slot in range(self.fed_count[SAMPLED]):
                entry = microflow.entries[slot]
                if entry != NULL:
                    add_up(<FlowCache>self.fed[SAMPLED][slot], entry, it.source,
                           it.amounts[self.microflows.amount_of[slot]], now)
            return
        for slot in range(self.fed_count[SAMPLED]):
            fates[slot] = self.stage(<FlowCache>self.fed[SAMPLED][slot], it, now)
        self.notice_moves()
        if it.hash and (microflow != NULL or was_seen_once(&self.microflows.seen_once, it.hash)):
            self.learn(it, fates, now)

    cdef bint is_whole(self, Microflow* microflow) noexcept nogil:
        """Whether its entries are where it says, though some have moved since that was known."""
        cdef uint64_t total = 0
        cdef uint32_t slot
        for slot in range(self.fed_count[SAMPLED]):
            if microflow.entries[slot] != NULL:
                total += cell_with(&(<FlowCache>self.fed[SAMPLED][slot]).flows, microflow.entries[slot])[0]
        microflow.generation = self.generation
        if total != microflow.total:
            microflow.era = 0
        return microflow.era != 0

    cdef void learn(self, const UnderWay* it, const Fate* fates, double now) noexcept nogil:
        """Remember where the sample just staged is counted; its updates were staged last."""
        cdef Microflow* microflow
        cdef Staged* item
        cdef uint32_t slot, staged = 0
        for slot in range(self.fed_count[SAMPLED]):
            if fates[slot] == UNSURE:
                return
            staged += fates[slot] == STAGED
        if staged > STAGES:
            return
        microflow = microflow_place(&self.microflows, it.hash, self.era)
        if microflow == NULL:
            return
        self.flush(now)
        self.notice_moves()
        microflow.era = 0
        microflow.total = 0
        for slot in range(self.fed_count[SAMPLED]):
            microflow.entries[slot] = NULL
            if fates[slot] == STAGED:
                item = &self.staged[(self.staged_head - staged) % STAGES]
                staged -= 1
                microflow.entries[slot] = <Value*>find(item.flows, item.key, item.hash)
                if microflow.entries[slot] == NULL:  # its table is full
                    return
                microflow.total += item.hash
        microflow.era, microflow.generation, microflow.unused = self.era, self.generation, 0

    cdef Fate stage(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil:
        """Make the key of one definition, and stage the update of its entry or defer the sample."""
        cdef uint64_t[KEY_WORDS] computed
        cdef Staged* item
        cdef Staged* oldest
        cdef Deferred* deferred
        cdef KeyId* found
        cdef uint64_t key_id = 0                    # also: nothing is computed
        cdef bint known = 1
        if cache.plan.computed_words:
            gather_computed(&it.fields, &cache.plan, it.serial, computed)
            found = key_id_of(cache.key_ids, computed, digest(&cache.key_ids.table, computed))
            known = found != NULL
            if known:
                key_id = found.number
                if key_id == 0:
                    return REJECTED
        item = &self.staged[self.staged_head % STAGES]
        if not gather_carried(&it.fields, &cache.plan, item.key + 1):
            return REJECTED
        if not gather_value(&it.fields, &cache.plan, &item.amount):
            return UNSURE
        item.amount *= it.rate
        if not known or not it.announced:
            deferred = self.defer(cache, it, it.source, computed, item.key + 1)
            if deferred != NULL:
                deferred.amount = item.amount
            else:
                cache.refuse(item.amount, now)
            return UNSURE
        item.key[0] = key_id << 32 | it.source
        item.cache, item.flows = <void*>cache, &cache.flows
        self.staged_head += 1
        if self.staged_head - self.staged_next > LAG:
            fetch_staged(&self.staged[self.staged_next % STAGES])
            self.staged_next += 1
        if self.staged_head - self.staged_tail == STAGES:
            oldest = &self.staged[self.staged_tail % STAGES]
            self.staged_tail += 1
            (<FlowCache>oldest.cache).update(oldest.key, oldest.hash, oldest.amount, now)
        if cache.plan.connected and is_last_of_connection(&it.fields, &cache.plan):
            self.flush(now)
            cache.end_connection(item.key, item.hash)
            return UNSURE                           # the next of its kind shall end a record too
        return STAGED

    cdef void observe(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil:
        """The same for a definition with statistics, or of agents, without stages: its entries are larger and fewer."""
        cdef uint64_t[KEY_WORDS] computed
        cdef uint64_t[1 + KEY_WORDS] key
        cdef uint64_t hash
        cdef Observation seen
        cdef KeyId* found
        cdef Deferred* deferred
        cdef uint32_t source = it.source
        cdef bint announced = it.announced
        if not gather_carried(&it.fields, &cache.plan, key + 1):
            return
        if not observation_of(&it.fields, &cache.plan, it.rate, self.seed, &seen):
            return
        if cache.plan.of_agent:
            source = self.ledger.whole_agent(it.agent, now)
            if source == NO_INDEX:
                cache.refuse_observation(&seen, now)
                return
            announced = self.ledger.sources[source].announced
        key[0] = source
        if cache.plan.computed_words:
            gather_computed(&it.fields, &cache.plan, it.serial, computed)
            if cache.plan.derived:
                gather_derived(&it.fields, &cache.plan, computed)
            found = key_id_of(cache.key_ids, computed, digest(&cache.key_ids.table, computed))
            announced = announced and found != NULL
            if found != NULL:
                if found.number == 0:
                    return
                key[0] |= <uint64_t>found.number << 32
        if announced:
            hash = digest(&cache.flows, key)
            cache.observe(key, hash, &seen, now)
            if cache.plan.connected and is_last_of_connection(&it.fields, &cache.plan):
                cache.end_connection(key, hash)
            return
        deferred = self.defer(cache, it, source, computed, key + 1)
        if deferred != NULL:
            deferred.seen = seen
        else:
            cache.refuse_observation(&seen, now)

    cdef void examine(self, FlowCache cache, const UnderWay* it, double now) noexcept nogil:
        """The same for a definition with tests, which take each sample with the time and place it comes from."""
        cdef uint64_t[KEY_WORDS] computed
        cdef uint64_t[1 + KEY_WORDS] key
        cdef uint64_t hash
        cdef Draw draw
        cdef KeyId* found
        cdef Deferred* deferred
        cdef bint known = it.announced
        key[0] = it.source
        if cache.plan.computed_words:
            gather_computed(&it.fields, &cache.plan, it.serial, computed)
            found = key_id_of(cache.key_ids, computed, digest(&cache.key_ids.table, computed))
            known = known and found != NULL
            if found != NULL:
                if found.number == 0:
                    return
                key[0] |= <uint64_t>found.number << 32
        if not gather_carried(&it.fields, &cache.plan, key + 1):
            return
        if not draw_of(&it.fields, &cache.plan, it.rate, &draw):
            return
        if known:
            hash = digest(&cache.flows, key)
            cache.update(key, hash, draw.amount * it.rate, now)
            cache.limits.draw(key, &draw, now)
            if cache.plan.connected and is_last_of_connection(&it.fields, &cache.plan):
                cache.end_connection(key, hash)
            return
        deferred = self.defer(cache, it, it.source, computed, key + 1)
        if deferred != NULL:
            deferred.amount, deferred.draw = draw.amount * it.rate, draw
        else:
            cache.refuse(draw.amount * it.rate, now)

    cdef void flush(self, double now) noexcept nogil:
        """Do all staged updates, oldest first."""
        cdef Staged* item
        while self.staged_next != self.staged_head:
            fetch_staged(&self.staged[self.staged_next % STAGES])
            self.staged_next += 1
        while self.staged_tail != self.staged_head:
            item = &self.staged[self.staged_tail % STAGES]
            self.staged_tail += 1
            (<FlowCache>item.cache).update(item.key, item.hash, item.amount, now)

    cdef void finish(self, double now) noexcept nogil:
        """Bring all samples under way to their entries."""
        while self.sample_next != self.sample_head:
            self.fetch_entries()
        while self.sample_tail != self.sample_head:
            self.classify(now)
        self.flush(now)

    cdef Deferred* defer(self, FlowCache cache, const UnderWay* it, uint32_t source, const uint64_t* computed,
                         const uint64_t* carried) noexcept nogil:
        """Copy a sample for `settle`, without what it adds; NULL: there are too many."""
        cdef Deferred* item
        if self.deferred_count == MOST_DEFERRED:
            return NULL
        item = &self.deferred[self.deferred_count]
        item.slot, item.source, item.agent = cache.slot, source, it.agent
        item.is_last = cache.plan.connected and is_last_of_connection(&it.fields, &cache.plan)
        memcpy(item.computed, computed, 8 * cache.plan.computed_words)
        memcpy(item.carried, carried, 8 * cache.plan.carried_words)
        self.deferred_count += 1
        return item

    # -- settling (lock and GIL held) --

    cdef int settle(self, listener, double now) except -1:
        """Let the listener compute the keys of deferred samples, and report the notices."""
        try:
            self.settle_deferred(listener, now)
            self.report(listener)
        finally:
            self.deferred_count = self.notices.count = 0
            self.begin()
        return 0

    cdef int settle_deferred(self, listener, double now) except -1:
        """Have each new computed key computed once, then accumulate the samples that were deferred for it."""
        cdef uint32_t i, before = self.computed
        cdef Deferred* item
        cdef FlowCache cache
        cdef KeyId* found
        cdef uint64_t[KEY_WORDS] key
        cdef uint64_t key_id, hash
        for i in range(self.deferred_count):
            item = &self.deferred[i]
            cache = <FlowCache>self.slots[item.slot]
            key_id = 0
            if cache.plan.computed_words:
                hash = digest(&cache.key_ids.table, item.computed)
                found = key_id_of(cache.key_ids, item.computed, hash)
                if found == NULL and not self.may_compute(cache, hash, self.computed - before):
                    self.refuse(cache, item, now)
                    continue
                if found == NULL:
                    computed = (<const char*>item.computed)[:8 * cache.plan.computed_words]
                    self.computed += 1
                    number = listener.compute_key(cache, item.agent, computed)
                    if number is None:
                        self.refuse(cache, item, now)
                        continue
                    key_id = number
                    cache.key_ids.hold(key_id)
                    cache.key_ids.remember(item.computed, hash, key_id)
                else:
                    key_id = found.number
                    cache.key_ids.hold(key_id)
                if key_id == 0:
                    continue
            key[0] = key_id << 32 | item.source
            memcpy(key + 1, item.carried, 8 * cache.plan.carried_words)
            hash = digest(&cache.flows, key)
            if cache.plan.value_count:
                cache.observe(key, hash, &item.seen, now)
            else:
                cache.update(key, hash, item.amount, now)
                if cache.is_tested:
                    cache.limits.draw(key, &item.draw, now)
            if item.is_last:
                cache.end_connection(key, hash)
            cache.key_ids.let_go(<uint32_t>key_id)  # told as unused if neither the entry nor the computed key was kept
        return 0

    cdef void refuse(self, FlowCache cache, const Deferred* item, double now) noexcept nogil:
        """A deferred sample whose key will not be known."""
        if cache.plan.value_count:
            cache.refuse_observation(&item.seen, now)
        else:
            cache.refuse(item.amount, now)

    cdef bint may_compute(self, FlowCache cache, uint64_t hash, uint32_t of_this_batch) noexcept nogil:
        """Whether Python shall compute a new key."""
        if of_this_batch < MOST_COMPUTED_AT_ONCE and self.computed < MOST_COMPUTED:
            return 1
        return cache.key_ids.came_before(hash) and of_this_batch < MOST_COMPUTED_AT_ONCE

    def allow(self) -> None:
        """Let MOST_COMPUTED new keys be computed from now on; called once a second."""
        self.computed = 0

    def sweep(self, uint64_t position) -> int:
        """Forget the microflows of one segment that no sample found for some sweeps; answers where to go on, 0 when
        through. Called some seconds apart."""
        return microflows_sweep(&self.microflows, position)

    @property
    def microflow_bytes(self) -> int:
        """Memory of the microflows."""
        return self.microflows.table.bytes + (2 * (self.microflows.seen_once.mask + 1) if self.microflows.keeps else 0)

    def forget_sources(self, sources) -> None:
        """Data sources whose indexes get new owners."""
        for cache in self.caches:
            cache.forget_sources(sources)
        self.reused += 1

    def report(self, listener) -> None:
        """Tell the listener which elephants ended, which limits were crossed, which flow records are ready."""
        cdef uint32_t i
        cdef Notice* it
        cdef FlowCache cache
        if self.notices.count == 0:
            return
        cleared, crossed, elsewhere, recorded = [], [], [], []
        for i in range(self.notices.count):
            it = &self.notices.items[i]
            cache = <FlowCache>it.cache
            carried = (<const char*>it.key)[:8 * cache.plan.carried_words]
            span = (it.span.start, it.span.last, it.span.total, it.span.samples)
            if it.kind == RECORDED:
                recorded.append((cache, it.source, it.key_id, carried, span))
                continue
            others, evidence = self.others_of(cache, it), self.evidence_of(it)
            found = (cache, it.limit, it.source, it.key_id, carried, it.rate, it.first, span, others, evidence)
            if it.kind == CLEARED:
                cleared.append(found)
            elif it.kind == CROSSED:
                crossed.append(found)
            else:
                elsewhere.append(found)
        self.notices.count = 0
        if cleared:
            listener.on_elephants_ended(cleared)
        if crossed:
            listener.on_limits_crossed(crossed)
        if elsewhere:
            listener.on_elephants_seen_elsewhere(elsewhere)
        if recorded:
            listener.on_flows_recorded(recorded)

    cdef object evidence_of(self, const Notice* it):
        """What a test has found: (confidence, (data source, output ifIndex or 0, sampling rate, samples) of each
        place); None of a plain limit."""
        cdef uint32_t i
        if it.place_count == 0:
            return None
        return it.confidence, tuple([
            (it.places[i].source, it.places[i].output, it.places[i].rate, it.places[i].samples)
            for i in range(it.place_count)
        ])

    cdef tuple others_of(self, FlowCache cache, const Notice* it):
        """The values of a notice beside the first."""
        cdef uint32_t i
        return tuple([it.values[i] if it.others >> i & 1 else None for i in range(1, cache.plan.value_count)])

    def headers_seen(self) -> int:
        """A bit per slot (packet.pxd) that samples had since the last call."""
        seen = 0
        for word in range(SLOT_WORDS):
            for i in range(UNDER_WAY):
                self.present[word] |= self.samples[i].fields.present[word]
                self.samples[i].fields.present[word] = 0
            seen |= self.present[word] << 64 * word
            self.present[word] = 0
        return seen
