"""Elephants found by a sequential test: the sooner the larger they are, with a stated rate of errors.

A flow is an elephant at `value` (bytes/s) and more, a mouse at value/separation and less; in between it may be called
either. Each sample of a flow, of whatever switch, moves a log likelihood ratio (Wald, "Sequential Tests of Statistical
Hypotheses", 1945) for each of a few rates that an elephant may have: `value`, `fastest` (the links' speed: most
elephants have it) and the one between. Such a *chart* rises by ln(ratio) with a sample and falls with time, as Poisson
counts have it; `ratio` is its rate over that of the largest mouse. At `enough` the flow is an elephant.

1. Charts do not fall below 0 (Page's CUSUM, 1954, for Poisson counts Lucas 1985), so what a flow once was is
   forgotten. A new flow begins at the `head_start` (Lucas and Crosier 1982), nearer to `enough`. Hence the errors:
   until a chart has been at 0 it is a likelihood ratio, which ever exceeds 1/a with probability a at most (Ville
   1939). So a mouse is taken for an elephant with probability alpha at its beginning, and afterwards once in RUN/alpha
   samples of it or more seldom (Lorden 1971: a CUSUM with limit h takes at least e^h samples in the mean). The charts
   have parts of alpha.
2. Packets have sizes; bytes count. A packet of b bytes counts as min(b/size, 1) of a sample, where `size` is the
   largest seen before it, and LEAST_SIZE at least. By convexity that is never more than a Poisson process of packets
   of `size` bytes at the same byte rate would give, whatever sizes come: the bound of 1 holds for compound Poisson
   arrivals, and for paced ones, whose thinned counts vary less. It holds for flows that are mice at every moment: what
   sends 30 kB at the speed of the link is an elephant until it stops, for any test that is quick enough to be of use.
3. Switches sample independently, each 1 in N of its own, so all samples of a flow count, and a packet that two switches
   sampled counts once (Draw.packet). Of a path with switches i the part 1 - prod(1 - 1/N_i) of all packets is seen: the
   `density`, by which time counts. Which switches are on the path is not known at first. Charts that count ANYWHERE
   take `switches`, the most that a path has, at the densest N that the flow met; where it crosses fewer they find its
   rate too low. Charts that count what is SEEN begin with the first sample of each data source, which therefore does
   not count itself, and go on for as long as it sees the flow, or would for GAPS mean gaps of a flow of `value`: they
   are exact however many switches there are, in cost of a sample each. A mouse that five switches see stays one in
   both.
4. An elephant has ended when a chart the other way, value against value/separation, or its silence alone, says so with
   an error of beta (in 1000 samples), and `timeout` has passed: it stays one while samples bring the chart back. What
   that time will be if no sample comes is known at each sample, so nothing scans. Until then samples add up, and one of
   a data source that had not seen it lately is told, because it may have moved.

Only samples of arriving packets count: a switch that samples a packet both coming and leaving would count it twice.
Samples that are lost make a flow look slower, never faster. Export delays bring samples later, and some together: at
most those that a switch held back, one where a full packet fills a datagram (header=600).

A flow takes 0.4 kB, for GONE_S after its last sample (CROWDED_S when others found no room); flows for which there
is no room are not tested, and counted. A sample costs the same however many flows there are, but for the memory's
latency.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport exp, log as ln
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.flows.entry cimport PackedElephant, begin, decay, extend, rate_at
from analytics.core.flows.flowkeys cimport KEY_WORDS
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.notices cimport (
    CLEARED, CROSSED, MOST_PLACES, SEEN_ELSEWHERE, Kind, Notice, Place, are_half_full, notice,
)
from analytics.core.ledger cimport LIVE, Ledger
from analytics.core.table cimport (
    Segment, cell_of, digest, find, insert, payload_of, remove, segment_at, shrink, table_close, table_open, was_met,
)

cdef double RUN = 1e5                               # samples of a mouse, see 1
cdef double END_RUN = 1e3                           # samples of an elephant, see 4
cdef double LEAST_SIZE = 1000.0                     # so that a SYN does not make a flow one of small packets
cdef double GAPS = 6.0
cdef double PRESENT_S = 0.25                        # agents hold samples back for a while
cdef double GONE_S = 10.0
cdef double CROWDED_S = 2.0


cdef class SequentialTest:
    """Limit number `limit` of a definition with time constant `t`; `bytes`: its value is bytes, else frames."""

    def __cinit__(self, Ledger ledger not None, KeyIds key_ids not None, uint32_t limit, double t, bint of_bytes,
                  double value, double timeout, settings):
        self.ledger, self.key_ids, self.limit, self.gain = ledger, key_ids, limit, 1.0 / t
        self.value, self.timeout, self.least = value, timeout, LEAST_SIZE if of_bytes else 1.0
        self.alpha, self.beta, self.switches = settings.alpha, settings.beta, settings.switches
        self.mouse, self.fastest = value / settings.separation, settings.fastest
        self.head_start, self.end_at = ln(RUN), ln(END_RUN / settings.beta)
        self.end_gain = ln(settings.separation)
        if self.switches:
            self.add_chart(ANYWHERE, value, 0.3 if self.switches > 1 else 0.4)
            self.add_chart(ANYWHERE, (value * self.fastest) ** 0.5, 0.2)
            self.add_chart(ANYWHERE, self.fastest, 0.3 if self.switches > 1 else 0.4)
        if self.switches > 1:
            self.add_chart(SEEN, value, 0.1)
            self.add_chart(SEEN, self.fastest, 0.1)
        elif self.switches == 0:
            self.add_chart(SEEN, value, 0.4)
            self.add_chart(SEEN, (value * self.fastest) ** 0.5, 0.2)
            self.add_chart(SEEN, self.fastest, 0.4)

    def __dealloc__(self):
        table_close(&self.suspects)

    cdef void add_chart(self, Counting counting, double rate, double part) noexcept:
        """Test for a rate, with a part of the errors allowed."""
        cdef Chart* chart = &self.charts[self.chart_count]
        chart.counting, chart.ratio = counting, rate / self.mouse
        chart.gain, chart.enough = ln(chart.ratio), self.head_start - ln(self.alpha * part)
        self.chart_count += 1

    def make_room(self, uint32_t words, uint64_t max_bytes, uint64_t seed) -> None:
        """Make room for flows of keys of so many words."""
        if not table_open(&self.suspects, words, sizeof(Suspect), ~<uint64_t>0, max_bytes, seed):
            raise MemoryError

    cdef void take(self, const uint64_t* key, const Draw* draw, double now) noexcept nogil:
        """A sample of a flow; word 0 of its key is data source | key id << 32."""
        cdef uint64_t[1 + KEY_WORDS] own
        cdef double[COUNTINGS] weights
        cdef double elapsed
        cdef uint32_t place, decided
        cdef bint was_present = 1
        cdef Suspect* it
        if draw.leaving:
            return
        own[0] = key[0] >> 32 << 32
        memcpy(own + 1, key + 1, 8 * (self.suspects.words - 1))
        it = self.suspect_of(own, draw, now)
        if it == NULL:
            self.refused += 1
            return
        if it.elephant and now >= it.clear + self.timeout:
            self.end(own, it)
        weights[<int>ANYWHERE] = 0.0 if it.place_count == 0 else min(draw.amount / it.size, 1.0)
        place = self.place_of(it, <uint32_t>key[0], now, &was_present)
        if is_known(it, place, draw.packet):
            weights[<int>ANYWHERE] = 0.0
        weights[<int>SEEN] = weights[<int>ANYWHERE] if was_present else 0.0
        elapsed = max(now - it.last, 0.0)
        it.last = max(it.last, now)
        it.places[place].last = it.last
        it.places[place].rate, it.places[place].output = max(draw.rate, <uint32_t>1), draw.output
        it.places[place].samples += 1
        if it.elephant:
            self.follow(it, elapsed, weights[<int>ANYWHERE], now)
            self.note_density(it, now)
            self.measure(it, elapsed, draw.amount if weights[<int>ANYWHERE] else 0.0, now)
            if not was_present:
                self.tell(SEEN_ELSEWHERE, own, it, it.value.rate, 1.0, place)
        else:
            decided = self.accuse(it, elapsed, weights)
            self.note_density(it, now)
            if decided < self.chart_count:
                self.start(own, it, decided, draw.amount, now)
        it.size = max(it.size, draw.amount)

    cdef Suspect* suspect_of(self, const uint64_t* own, const Draw* draw, double now) noexcept nogil:
        """What is known of a flow, made if nothing is; NULL: there is no room."""
        cdef uint64_t hash = digest(&self.suspects, own)
        cdef Suspect* it = <Suspect*>find(&self.suspects, own, hash)
        cdef uint32_t i
        if it != NULL:
            return it
        it = <Suspect*>insert(&self.suspects, own, hash)
        if it == NULL:
            return NULL
        self.key_ids.hold(<uint32_t>(own[0] >> 32))
        it.last = it.since = now
        it.size = max(draw.amount, self.least)
        for i in range(self.chart_count):
            it.level[i] = self.head_start
        return it

    cdef uint32_t place_of(self, Suspect* it, uint32_t source, double now, bint* was_present) noexcept nogil:
        """The place of a data source among those of a flow, if need be in the stead of the one silent for longest."""
        cdef uint32_t i, place = 0
        for i in range(it.place_count):
            if it.places[i].source == source:
                was_present[0] = self.is_present(it, &it.places[i], now)
                return i
            if it.places[i].last < it.places[place].last:
                place = i
        was_present[0] = 0
        if it.place_count < MOST_PLACES:
            place = it.place_count
            it.place_count += 1
        it.places[place].source, it.places[place].samples = source, 0
        return place

    cdef bint is_present(self, const Suspect* it, const Place* place, double now) noexcept nogil:
        """Whether a data source still sees a flow, as far as its silence says."""
        return now - place.last <= max(PRESENT_S, GAPS * it.size * place.rate / self.value)

    cdef void note_density(self, Suspect* it, double now) noexcept nogil:
        """Of which part of the flow's packets a sample counts from now on."""
        cdef double missed = 1.0
        cdef uint32_t i, _i, present = 0, densest = 0xFFFFFFFF
        for i in range(it.place_count):
            densest = min(densest, it.places[i].rate)
            if self.is_present(it, &it.places[i], now):
                missed *= 1.0 - 1.0 / it.places[i].rate
                present += 1
        it.density[<int>SEEN] = 1.0 - missed
        for _i in range(present, self.switches):
            missed *= 1.0 - 1.0 / densest
        it.density[<int>ANYWHERE] = 1.0 - missed

    cdef uint32_t accuse(self, Suspect* it, double elapsed, const double* weights) noexcept nogil:
        """Move the charts of a flow that is no elephant yet; answers the one that says it is, chart_count: none."""
        cdef double per_packet = elapsed * self.mouse / it.size
        cdef double level, beyond = 0.0
        cdef uint32_t i, decided = self.chart_count
        cdef Chart* chart
        for i in range(self.chart_count):
            chart = &self.charts[i]
            level = it.level[i] - (chart.ratio - 1.0) * per_packet * it.density[<int>chart.counting]
            level = max(level, 0.0)
            if i == 0 and level == 0.0:             # what came until now says nothing
                it.since, it.counted = it.last, 0.0
            level += chart.gain * weights[<int>chart.counting]
            if level - chart.enough >= beyond:
                decided, beyond = i, level - chart.enough
            it.level[i] = level
        it.counted += it.size * weights[<int>ANYWHERE]
        return decided

    cdef void start(self, const uint64_t* own, Suspect* it, uint32_t chart, double amount, double now) noexcept nogil:
        """A flow is an elephant."""
        cdef double seen = it.density[<int>self.charts[chart].counting] * (now - it.since)
        cdef double rate = self.fastest
        if it.counted < rate * seen:
            rate = max(it.counted / seen, self.value)
        it.elephant, it.fallen = 1, 0.0
        it.value.rate, it.value.last = rate, it.last
        it.peak, it.first = rate, amount / it.density[<int>SEEN]
        begin(&it.span, it.first, now)
        self.note_clear(it, now)
        self.tell(CROSSED, own, it, rate, 1.0 - self.alpha * exp(self.charts[chart].enough - it.level[chart]),
                  MOST_PLACES)

    cdef void follow(self, Suspect* it, double elapsed, double weight, double now) noexcept nogil:
        """Move the chart by which an elephant ends."""
        it.fallen += elapsed * it.density[<int>SEEN] * (self.value - self.mouse) / it.size
        it.fallen = max(it.fallen - self.end_gain * weight, 0.0)
        if it.fallen < self.end_at:
            self.note_clear(it, now)

    cdef void note_clear(self, Suspect* it, double now) noexcept nogil:
        """When the elephant will have fallen below, if no further sample comes."""
        cdef double packets = it.density[<int>SEEN] / it.size
        it.clear = now + min((self.end_at - it.fallen) / (packets * (self.value - self.mouse)),
                             self.end_at / (packets * self.value))

    cdef void measure(self, Suspect* it, double elapsed, double amount, double now) noexcept nogil:
        """Add a sample of an elephant to its rate and its sum."""
        cdef double whole = amount / it.density[<int>SEEN]
        it.value.rate = it.value.rate * decay(elapsed * self.gain) + whole * self.gain
        it.value.last = it.last
        it.peak = max(it.peak, it.value.rate)
        extend(&it.span, whole, now)

    cdef void end(self, const uint64_t* own, Suspect* it) noexcept nogil:
        """A flow is no elephant any more; what made it one is forgotten."""
        self.tell(CLEARED, own, it, it.peak, 1.0 - self.beta, MOST_PLACES)
        it.elephant = 0
        memset(it.level, 0, sizeof(it.level))

    cdef void tell(self, Kind kind, const uint64_t* own, const Suspect* it, double rate, double confidence,
                   uint32_t place) noexcept nogil:
        """Have Python told of an elephant: what it is, and where it is seen, or that it is at this place."""
        cdef Notice* it_is = notice(&self.reporter, kind, own)
        cdef uint32_t i
        if it_is == NULL:
            self.reporter.notices.lost[<int>kind] += 1
            return
        it_is.limit, it_is.rate, it_is.first, it_is.span = self.limit, rate, it.first, it.span
        it_is.source = it.places[best_place(it)].source
        it_is.confidence = confidence
        for i in range(it.place_count):
            if i == place or (place == MOST_PLACES and self.is_present(it, &it.places[i], it.last)):
                it_is.places[it_is.place_count] = it.places[i]
                it_is.place_count += 1

    # -- between batches --

    cdef void drop(self, uint64_t* cell) noexcept nogil:
        """Forget a flow."""
        self.key_ids.let_go(<uint32_t>(cell[1] >> 32))
        remove(&self.suspects, cell)

    cdef void drop_gone(self, Suspect* it) noexcept nogil:
        """Forget the data sources of a flow whose indexes get new owners."""
        cdef uint32_t i = 0
        while i < it.place_count:
            if self.ledger.sources[it.places[i].source].life == LIVE:
                i += 1
                continue
            it.place_count -= 1
            it.places[i] = it.places[it.place_count]

    cdef uint64_t expire(self, uint64_t position, double now) noexcept nogil:
        """End the elephants of one segment that are over, and forget flows that are silent; answers where to go on, 0
        when through. Stops early to have the notices reported."""
        cdef Segment segment = segment_at(&self.suspects, position)
        cdef uint64_t slot = 0
        cdef uint64_t* cell
        cdef Suspect* it
        cdef double silent
        if position == 0:
            self.crowded, self.refused_before = self.refused != self.refused_before, self.refused
        silent = CROWDED_S if self.crowded else GONE_S
        while slot < self.suspects.cells:
            cell = cell_of(&self.suspects, segment.start, slot)
            if cell[0] == 0:
                slot += 1
                continue
            if are_half_full(self.reporter.notices):
                return segment.first | 1            # the same segment: what was done there is not done again
            it = <Suspect*>payload_of(&self.suspects, cell)
            if it.elephant and now >= it.clear + self.timeout:
                self.end(cell + 1, it)
            self.drop_gone(it)
            if it.place_count == 0 or (not it.elephant and now - it.last > silent):
                if it.elephant:
                    self.end(cell + 1, it)
                self.drop(cell)                     # may pull a neighbour into this slot: look again
            else:
                slot += 1
        shrink(&self.suspects)
        return segment.after

    cdef tuple elephants(self, uint64_t position, double now):
        """Those in one segment, packed as limits.ELEPHANT: (where to go on, 0 when through; the carried bytes behind
        each)."""
        cdef Segment segment = segment_at(&self.suspects, position)
        cdef uint32_t carried = 8 * self.reporter.carried_words, size = sizeof(PackedElephant) + carried
        cdef uint64_t slot
        cdef uint64_t* cell
        cdef Suspect* it
        cdef Place* best
        cdef PackedElephant* row
        cdef uint8_t* out
        packed = PyBytes_FromStringAndSize(NULL, min(self.suspects.used, <uint64_t>self.suspects.cells) * size)
        out = <uint8_t*>PyBytes_AS_STRING(packed)
        for slot in range(self.suspects.cells):
            cell = cell_of(&self.suspects, segment.start, slot)
            it = <Suspect*>payload_of(&self.suspects, cell)
            if cell[0] == 0 or was_met(&segment, position, cell[0]) or not it.elephant or now > it.clear + self.timeout:
                continue
            best = &it.places[best_place(it)]
            if self.ledger.sources[best.source].life != LIVE:
                continue
            row = <PackedElephant*>out
            row.source, row.key_id = best.source, <uint32_t>(cell[1] >> 32)
            row.rate, row.peak, row.first, row.span = rate_at(&it.value, now, self.gain), it.peak, it.first, it.span
            memcpy(out + sizeof(PackedElephant), cell + 2, carried)
            out += size
        return segment.after, packed[:out - <uint8_t*>PyBytes_AS_STRING(packed)]


cdef bint is_known(Suspect* it, uint32_t place, uint32_t packet) noexcept nogil:
    """Whether another data source sampled this packet; remembers it. Packets that are alike even to one data source, as
    those without content, tell nothing."""
    cdef uint32_t i
    cdef bint elsewhere = 0, here = 0
    if packet == 0:
        return 0
    for i in range(min(it.packet_count, <uint32_t>PACKETS)):
        if it.packets[i] == packet:
            if it.packet_places[i] == place:
                here = 1
            else:
                elsewhere = 1
    it.packets[it.packet_count % PACKETS], it.packet_places[it.packet_count % PACKETS] = packet, place
    it.packet_count += 1
    return elsewhere and not here


cdef uint32_t best_place(const Suspect* it) noexcept nogil:
    """Where the most samples of a flow came from."""
    cdef uint32_t i, best = 0
    for i in range(it.place_count):
        if it.places[i].samples > it.places[best].samples:
            best = i
    return best
