"""Which entries a sample counts for: every definition is asked for its key, or a shortcut knows.

    vacant -> (the caller describes and dissects the sample there)
    take   -> sign -> [UNDER_WAY samples later] classify -> by shortcut: due -> [a sample later] add up
                                                         -> the long way: key -> staged -> [STAGES later] update

The steps lie apart so that the memory can bring what the next one reads: a shortcut, an entry, a cell. `finish` ends
all of them; nothing is under way outside of a batch. Keys that nobody has judged yet, and limits that fired, wait for
`settle`, which has the GIL. What shortcuts are: shortcuts.pxd.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from analytics.core.flows.flowcache cimport FlowCache, Fired, Value, add_up
from analytics.core.flows.flowkeys cimport KEY_WORDS, gather_carried, gather_judged, gather_value
from analytics.core.dissect.packet cimport prepare
from analytics.core.flows.microflows cimport (Shortcut, entries_of, fetch_pair, is_second, is_worth_it, recall,
                                        shortcuts_close, shortcuts_open, sign, vacancy, weigh)
from analytics.core.flows.table cimport digest, digest_of, fetch, fetch_cell, find

cdef enum:
    PENDING_ROOM = 4096                             # samples set aside before the GIL is taken in mid-batch (at half)
    FIRED_ROOM = 4096
    UNDER_WAY = 4                                   # samples whose shortcut is awaited
    STAGES = 32                                     # updates under way: enough to hide the memory's latency
    LAG = 4                                         # keys whose bytes are still being stored: too early to read them


cdef inline void fetch_staged(Staged* item) noexcept nogil:
    """Digest a staged key and ask the memory for its cell."""
    item.hash = digest(item.flows, item.key)
    fetch_cell(item.flows, item.hash)


cdef class Classifier:
    """`seed` of all hashes. Callers hold the pipeline's lock."""

    def __cinit__(self, uint64_t seed):
        cdef uint32_t place
        self.seed = seed
        self.caches = []
        for place in range(UNDER_WAY):
            prepare(&self.samples[place].fields)
        self.pending = <Pending*>malloc(PENDING_ROOM * sizeof(Pending))
        self.fires.items = <Fired*>malloc(FIRED_ROOM * sizeof(Fired))
        self.fires.room = FIRED_ROOM
        if not (self.pending and self.fires.items):
            raise MemoryError

    def __dealloc__(self):
        free(self.pending)
        free(self.fires.items)
        shortcuts_close(&self.shortcuts)

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

    cdef bint is_half_full(self) noexcept nogil:
        """It is time to `settle`."""
        return self.pending_count * 2 >= PENDING_ROOM or self.fires.count * 2 >= FIRED_ROOM

    cdef UnderWay* vacant(self) noexcept nogil:
        """Where the caller writes the next sample."""
        cdef UnderWay* it = &self.samples[self.sample_head % UNDER_WAY]
        cdef uint32_t word
        for word in range(4):                       # of what stood there before: fresh stores would stall this
            self.present[word] |= it.fields.present[word]
        return it

    cdef void take(self, UnderWay* it, double now) noexcept nogil:
        """Take the flow sample just written."""
        self.sign(it)
        self.sample_head += 1
        if self.sample_head - self.sample_tail == UNDER_WAY:
            self.classify(now)

    cdef void take_discard(self, UnderWay* it, double now) noexcept nogil:
        """Take the discard just written: discards are rare, and go the long way."""
        cdef uint32_t slot
        self.pay(now)
        for slot in range(self.fed_count[1]):
            self.key(<FlowCache>self.fed[1][slot], it, now)
        self.note_moves()

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

    cdef void classify(self, double now) noexcept nogil:
        """Give the oldest sample under way to every definition: by its shortcut, or the long way."""
        cdef UnderWay* it = &self.samples[self.sample_tail % UNDER_WAY]
        cdef Fate[MOST_FLOWS] fates
        cdef Shortcut* shortcut
        cdef uint32_t slot
        self.sample_tail += 1
        if it.signed:
            shortcut = recall(&self.shortcuts, it.hash, self.moved, it.signature, it.signed)
            if shortcut != NULL:
                self.shortcuts.found += 1
                self.by_shortcut += 1
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
            self.classify(now)
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

    # -- settling (lock and GIL held) --

    cdef int settle(self, shell, double now) except -1:
        """Let the shell judge what is pending, and tell it what has fired."""
        try:
            self.settle_pending(shell, now)
            self.settle_fires(shell)
        finally:
            self.pending_count = self.fires.count = 0
            self.note_moves()
        return 0

    cdef int settle_pending(self, shell, double now) except -1:
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
                    decided = shell.judge(cache, item.agent, judged)
                    cache.remember(judged, decided)
                else:
                    decided = (<uint32_t*>found)[0]
                if decided == 0:
                    continue
            key[0] = decided << 32 | item.source
            memcpy(key + 1, item.carried, 8 * cache.plan.carried_words)
            cache.update(key, digest(&cache.flows, key), item.amount, now, &self.fires)
        return 0

    cdef int settle_fires(self, shell) except -1:
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
        shell.fired(events)
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
