"""What a full table could not keep of the flows of one definition, with a bound for every key (lost.pyx)."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    ROWS = 4
    CELLS = 9                                       # of a line

cdef struct Line:                                   # as wide as the processor's cache lines
    double last
    float rates[CELLS]                              # as of `last`
    uint16_t tags[CELLS]                            # of the key that was added last

cdef struct Lost:
    double gain                                     # 1/t
    void* memory                                    # NULL: nothing was lost lately
    Line* lines                                     # row by row
    uint64_t per_row
    double last                                     # when something was lost; of then are:
    double rate                                     # of all keys together
    double largest                                  # no key has lost more, but for:
    double unkeyed                                  # what any key may have lost

cdef struct Spot:                                   # the cells of a key
    Line* lines[ROWS]
    uint32_t cells[ROWS]
    uint16_t tag
    float most                                      # the key has lost no more
    bint came_before                                # it has lost something lately

cdef bint find_spot(Lost* lost, uint64_t hash, uint32_t agent, double now, uint64_t bytes, Spot* spot) noexcept nogil
cdef void lose(Lost* lost, Spot* spot, double rate, double now) noexcept nogil
cdef void lose_unkeyed(Lost* lost, double rate, double now) noexcept nogil
cdef double most_lost(const Lost* lost, uint64_t hash, uint32_t agent, double now) noexcept nogil
cdef double left_at(const Lost* lost, double rate, double now) noexcept nogil
cdef void forget_lost(Lost* lost) noexcept nogil
cdef uint64_t lost_bytes(const Lost* lost) noexcept nogil
