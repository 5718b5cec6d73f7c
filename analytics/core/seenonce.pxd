"""Was this seen before? A filter of 16-bit tags, one per place that a hash names: the newest stays.

It answers yes for what comes again before its place was taken, and wrongly for one in 65,536 others. What never
repeats, however much of it there is, does not get past it.
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.stdlib cimport calloc, free

from analytics.core.table cimport fetch

cdef struct SeenOnce:
    uint16_t* tags                                  # NULL: not open
    uint64_t mask                                   # their number - 1, a power of two less one


cdef inline bint seen_once_open(SeenOnce* filter, uint64_t tags) noexcept nogil:
    filter.tags, filter.mask = <uint16_t*>calloc(tags, sizeof(uint16_t)), tags - 1
    return filter.tags != NULL


cdef inline void seen_once_close(SeenOnce* filter) noexcept nogil:
    free(filter.tags)
    filter.tags = NULL


cdef inline uint64_t seen_once_bytes(const SeenOnce* filter) noexcept nogil:
    return (filter.mask + 1) * sizeof(uint16_t) if filter.tags != NULL else 0


cdef inline void fetch_tag(const SeenOnce* filter, uint64_t hash) noexcept nogil:
    """Ask the memory for the tag of a hash, some time before it is looked at."""
    fetch(&filter.tags[hash >> 14 & filter.mask], 1)


cdef inline bint was_seen_once(const SeenOnce* filter, uint64_t hash) noexcept nogil:
    """Whether the tag of a hash is there already; sets it."""
    cdef uint16_t* seen = &filter.tags[hash >> 14 & filter.mask]
    cdef uint16_t tag = <uint16_t>(hash >> 48)
    cdef bint second = seen[0] == tag
    seen[0] = tag
    return second
