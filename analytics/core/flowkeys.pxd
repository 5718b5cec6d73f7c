"""A definition's plan: which raw bytes of a sample it reads, and where they go in its keys."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from analytics.core.packet cimport Fields

cdef enum:
    MOST_PICKS = 32                                 # fields one definition may read (also: alternatives of one key)
    KEY_WORDS = 32                                  # widest key, in 8-byte words: 256 bytes

cdef struct Pick:                                   # one row of packet.ROWS at one depth
    uint8_t slot
    uint8_t offset
    uint8_t wire
    uint8_t shift
    uint8_t room                                    # bytes in the key: 4 for numbers
    bint copy                                       # bytes as they are (addresses), else a number
    uint32_t mask
    uint32_t add

cdef struct Carried:                                # a key part: the first of its picks that the sample has
    uint8_t first
    uint8_t count
    bint tagged                                     # the picks' texts differ in form: the key says which one it was

cdef struct Plan:
    Pick picks[32]
    uint32_t judged                                 # picks[0:judged] make the judged key
    uint32_t judged_words
    bint by_agent                                   # the judged key starts with the agent
    Carried parts[32]
    uint32_t carried
    uint32_t carried_words
    bint valued                                     # a numeric field is added up, else 1 per sample
    Pick value

cdef bint pick(const Fields* fields, const Pick* row, uint8_t* out) noexcept nogil
cdef void gather_judged(const Fields* fields, const Plan* plan, uint32_t agent, uint64_t* out) noexcept nogil
cdef bint gather_carried(const Fields* fields, const Plan* plan, uint64_t* out) noexcept nogil
cdef bint gather_value(const Fields* fields, const Plan* plan, double* out) noexcept nogil
cdef int lay_out(Plan* plan, object program) except -1
