"""What Python is told at the end of a batch (classifier.pyx): limits crossed, elephants ended, flow records."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from analytics.core.flows.entry cimport Span
from analytics.core.flows.flowkeys cimport KEY_WORDS, MOST_VALUES

cdef enum:
    MOST_PLACES = 8                                 # data sources that see a flow: fat-trees have five on a path

cdef enum Kind:                                     # of a notice
    CLEARED                                         # an elephant ended
    CROSSED                                         # a limit
    RECORDED                                        # a flow
    SEEN_ELSEWHERE                                  # an elephant, which was known elsewhere
    KINDS

cdef struct Place:                                  # where a flow is seen, and how
    double last
    uint32_t source, output, rate, samples          # output: ifIndex, 0: not known; rate: 1 packet in so many

cdef struct Notice:
    Kind kind
    void* cache                                     # a FlowCache
    uint32_t limit, source, key_id
    double rate, first                              # the rate when it crossed, or the elephant's peak
    Span span
    uint32_t others                                 # bit per value: it is known
    double values[MOST_VALUES]                      # of the definition, from the second on
    double confidence                               # of a test: that it is true; of a plain limit 0,
    uint32_t place_count                            # and nothing is known of where
    Place places[MOST_PLACES]
    uint64_t key[KEY_WORDS]                         # carried bytes

cdef struct Notices:                                # of all definitions
    Notice* items
    uint32_t count, capacity
    uint64_t lost[KINDS]

cdef struct Reporter:                               # of one definition
    Notices* notices
    void* cache
    uint32_t carried_words


cdef inline bint are_half_full(const Notices* notices) noexcept nogil:
    return notices.count * 2 >= notices.capacity


cdef inline Notice* notice(const Reporter* reporter, Kind kind, const uint64_t* key) noexcept nogil:
    """The next notice, about an entry; NULL: there are too many."""
    cdef Notices* notices = reporter.notices
    cdef Notice* it
    if notices.count == notices.capacity:
        return NULL
    it = &notices.items[notices.count]
    notices.count += 1
    it.kind, it.cache = kind, reporter.cache
    it.source, it.key_id = <uint32_t>key[0], <uint32_t>(key[0] >> 32)
    it.confidence, it.place_count, it.others = 0, 0, 0
    memcpy(it.key, key + 1, 8 * reporter.carried_words)
    return it
