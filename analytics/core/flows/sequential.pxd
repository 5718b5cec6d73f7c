"""Which flows are elephants, decided at each sample by a sequential test (sequential.pyx)."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.flows.entry cimport Span, Value
from analytics.core.flows.keyids cimport KeyIds
from analytics.core.flows.notices cimport MOST_PLACES, Kind, Place, Reporter
from analytics.core.ledger cimport Ledger
from analytics.core.table cimport HashTable

cdef enum:
    MOST_CHARTS = 5
    PACKETS = 8                                     # of a flow that are remembered, to know them at the next switch

cdef enum Counting:                                 # whose samples of a flow may have come: of the data sources that
    SEEN                                            # saw it before,
    ANYWHERE                                        # of as many switches as a path has
    COUNTINGS

cdef struct Draw:                                   # a sample as a test takes it
    double amount                                   # of the packet itself
    uint32_t rate                                   # it is one of so many packets
    uint32_t output                                 # the ifIndex that the packet left by, 0: not known
    uint32_t packet                                 # tells packets of a flow apart; 0: not known
    bint leaving                                    # sampled where it left the switch

cdef struct Chart:                                  # of one rate that an elephant may have: `ratio` times a mouse's
    Counting counting
    double ratio, gain                              # gain = ln(ratio), of a sample
    double enough                                   # level at which the flow is an elephant

cdef struct Suspect:                                # what is known of a flow: the payload
    double last, size                               # time of the latest sample; bytes that count as a whole packet
    double density[COUNTINGS]                       # part of its packets of which a sample counts
    double level[MOST_CHARTS]
    double since, counted                           # time and amounts on which the levels stand
    uint32_t packets[PACKETS]
    uint8_t packet_places[PACKETS]                  # where each was sampled
    uint32_t packet_count, place_count
    Place places[MOST_PLACES]
    bint elephant                                   # then:
    double fallen, clear                            # level of the test that it is none any more; when it is over, if
    Value value                                     # no further sample comes
    double peak, first
    Span span


@cython.final
cdef class SequentialTest:
    cdef Ledger ledger
    cdef KeyIds key_ids
    cdef HashTable suspects                         # (0, key id), carried bytes -> Suspect
    cdef Reporter reporter
    cdef uint32_t limit                             # its index
    cdef double value, timeout, gain                # gain = 1/t of the definition
    cdef double mouse, fastest, least               # rates; least: `size` of a flow of small packets
    cdef double alpha, beta, head_start, end_gain, end_at
    cdef uint32_t switches                          # on a path, 0: not known
    cdef Chart charts[MOST_CHARTS]
    cdef uint32_t chart_count
    cdef uint64_t refused                           # samples of flows for which there was no room,
    cdef uint64_t refused_before                    # those before the walk under way,
    cdef bint crowded                               # and whether there were any since the one before it

    cdef void add_chart(self, Counting counting, double rate, double part) noexcept
    cdef void take(self, const uint64_t* key, const Draw* draw, double now) noexcept nogil
    cdef Suspect* suspect_of(self, const uint64_t* own, const Draw* draw, double now) noexcept nogil
    cdef uint32_t place_of(self, Suspect* it, uint32_t source, double now, bint* was_present) noexcept nogil
    cdef bint is_present(self, const Suspect* it, const Place* place, double now) noexcept nogil
    cdef void note_density(self, Suspect* it, double now) noexcept nogil
    cdef uint32_t accuse(self, Suspect* it, double elapsed, const double* weights) noexcept nogil
    cdef void start(self, const uint64_t* own, Suspect* it, uint32_t chart, double amount, double now) noexcept nogil
    cdef void follow(self, Suspect* it, double elapsed, double weight, double now) noexcept nogil
    cdef void note_clear(self, Suspect* it, double now) noexcept nogil
    cdef void measure(self, Suspect* it, double elapsed, double amount, double now) noexcept nogil
    cdef void end(self, const uint64_t* own, Suspect* it) noexcept nogil
    cdef void tell(self, Kind kind, const uint64_t* own, const Suspect* it, double rate, double confidence,
                   uint32_t place) noexcept nogil
    cdef void drop(self, uint64_t* cell) noexcept nogil
    cdef void drop_gone(self, Suspect* it) noexcept nogil
    cdef uint64_t expire(self, uint64_t position, double now) noexcept nogil
    cdef tuple elephants(self, uint64_t position, double now)
