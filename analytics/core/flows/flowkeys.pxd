"""The key plan of a definition: which raw bytes of a sample it reads, and where they go in its keys.

The reading is inline: it runs for every definition and sample, inside pipeline.pyx.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.xdr cimport be16, be32

cdef extern from *:
    """
    /* two 32-bit words as one, the first at the lower address */
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define howdah_pair(first, second) ((uint64_t)(first) << 32 | (uint32_t)(second))
    #else
    #define howdah_pair(first, second) ((uint64_t)(second) << 32 | (uint32_t)(first))
    #endif
    """
    uint64_t pair "howdah_pair"(uint32_t first, uint32_t second) noexcept nogil

cdef enum:
    MOST_PICKS = 128                                # fields one definition may read (also: alternatives of one key)
    KEY_WORDS = 128                                 # widest key, in 8-byte words: 1 KiB
    MOST_VALUES = 8                                 # of one definition
    MOST_CHOICES = 4                                # fields of which a value is the first that a sample has
    STATE_HEAD = 2                                  # words of an entry's state before those of its values
    REGISTERS = 128                                 # that estimate how many values are distinct: within 9 %

cdef enum Form:                                     # how a field's bytes become key bytes
    ONE                                             # a number of 1, 2 or 4 bytes: 4 bytes in the machine's order
    TWO
    FOUR
    BYTES4                                          # bytes as they are (addresses)
    BYTES8
    BYTES16
    PADDED                                          # bytes of any length, then zeros
    TWO_NUMBERS                                     # TWO and its neighbour at once
    PLACE                                           # derived, see gather_derived: where the header begins
    IP_OPTIONS                                      # what it has behind the fixed ones: their length, they, zeros
    TCP_OPTIONS

cdef enum:                                          # TCP flags, RFC 9293 section 3.1
    FIN = 1
    RST = 4

cdef struct Pick:                                   # one row of packet.ROWS at one depth
    uint8_t slot
    uint8_t offset                                  # of a derived field: the slot it is derived from
    uint8_t wire
    uint8_t shift
    uint8_t size                                    # bytes in the key: 4 for numbers
    uint8_t form                                    # a Form
    uint32_t mask
    uint32_t add

cdef struct Carried:                                # a key part: the first of its picks that the sample has
    uint8_t first
    uint8_t count
    bint tagged                                     # the picks' texts differ in form: the key says which one it was

cdef enum Statistic:                                # what is kept of a value, see statistics.pyx
    RATE
    MEAN
    LEAST
    MOST
    DISTINCT

cdef struct Measured:                               # a value: the first of its picks that the sample has
    Statistic statistic
    uint32_t count                                  # of picks; 0: 1 per sample
    uint32_t place                                  # of its state: words behind the first of Value
    Pick picks[MOST_CHOICES]

cdef struct KeyPlan:
    Pick picks[MOST_PICKS]
    uint32_t computed                               # picks[0:computed] make the computed key
    uint32_t computed_words
    bint derived                                    # some of them are derived
    bint by_agent                                   # the computed key starts with the agent
    Carried parts[MOST_PICKS]
    uint32_t carried
    uint32_t carried_words
    bint connected                                  # it logs, and its keys identify a TCP connection
    Pick flags                                      # whose TCP flags these are
    bint valued                                     # a numeric field is added up, else 1 per sample
    Pick value
    Measured values[MOST_VALUES]                    # in its place, if there are any
    uint32_t value_count
    uint32_t state_words                            # of the payload, behind Value
    bint of_agent                                   # counts for the agent as a whole, not for its data sources

cdef int compile_plan(KeyPlan* plan, object program) except -1
cdef void gather_derived(const Fields* fields, const KeyPlan* plan, uint64_t* out) noexcept nogil
cdef uint8_t* gather_tagged(const Fields* fields, const Carried* part, const Pick* row, uint8_t* to) noexcept nogil


cdef inline const uint8_t* field_at(const Fields* fields, const Pick* row) noexcept nogil:
    """Where a field is in the sample, NULL when it is not there whole."""
    cdef const uint8_t* at
    if not (fields.present[row.slot >> 6] >> (row.slot & 63)) & 1:
        return NULL
    at = fields.at[row.slot] + row.offset
    return at if at + row.wire <= fields.end[row.slot] else NULL


cdef inline uint32_t narrow(const uint8_t* at, const Pick* row) noexcept nogil:
    """The key form of a field that takes 4 bytes: a number, or 4 bytes as they are."""
    cdef uint32_t value
    if row.form == TWO:
        value = be16(at)
    elif row.form == BYTES4:
        memcpy(&value, at, 4)
        return value
    elif row.form == ONE:
        value = at[0]
    else:
        value = be32(at)
    return ((value >> row.shift) & row.mask) + row.add


cdef inline void store(const uint8_t* at, const Pick* row, uint8_t* out) noexcept nogil:
    """Write a field in key form: row.size bytes."""
    cdef uint32_t value
    if row.form == BYTES8:
        memcpy(out, at, 8)
    elif row.form == BYTES16:
        memcpy(out, at, 8)
        memcpy(out + 8, at + 8, 8)
    elif row.form == PADDED:
        memset(out, 0, row.size)
        memcpy(out, at, row.wire)
    elif row.form == TWO_NUMBERS:
        value = be16(at)
        memcpy(out, &value, 4)
        value = be16(at + 2)
        memcpy(out + 4, &value, 4)
    else:
        value = narrow(at, row)
        memcpy(out, &value, 4)


cdef inline bint pick(const Fields* fields, const Pick* row, uint8_t* out) noexcept nogil:
    """Write one field in key form to `out` (row.size bytes); 0 and nothing written if the sample lacks part of it."""
    cdef const uint8_t* at = field_at(fields, row)
    if at == NULL:
        return 0
    store(at, row, out)
    return 1


cdef inline void gather_computed(const Fields* fields, const KeyPlan* plan, uint32_t serial,
                                 uint64_t* out) noexcept nogil:
    """The computed key, in whole words (narrower stores would stall the digest that reads them next)."""
    cdef uint32_t i
    cdef const Pick* row
    cdef const uint8_t* at
    if plan.by_agent:
        out[0] = pair(serial, 0)                    # of the agent: an index may have another owner later
        out += 1
    for i in range(plan.computed):
        row = &plan.picks[i]
        at = field_at(fields, row)
        out[0] = pair(at != NULL, narrow(at, row) if at != NULL and row.size == 4 else 0)
        out += 1
        if row.size != 4:
            if at != NULL:
                store(at, row, <uint8_t*>out)
            else:
                memset(out, 0, row.size)
            out += row.size // 8


cdef inline bint gather_carried(const Fields* fields, const KeyPlan* plan, uint64_t* out) noexcept nogil:
    """The carried key; 0 when a part has none of its fields: then the sample does not count."""
    cdef uint8_t* to = <uint8_t*>out
    cdef uint32_t i, which
    cdef const Carried* part
    cdef const Pick* row
    cdef const uint8_t* at
    if plan.carried_words:
        out[plan.carried_words - 1] = 0             # the padding
    for i in range(plan.carried):
        part = &plan.parts[i]
        row = &plan.picks[part.first]
        if part.tagged:
            to = gather_tagged(fields, part, row, to)
            if to == NULL:
                return 0
            continue
        which = part.count
        at = field_at(fields, row)
        while at == NULL:
            which -= 1
            if which == 0:
                return 0
            row += 1
            at = field_at(fields, row)
        store(at, row, to)
        to += row.size
    return 1


cdef inline bint is_last_of_connection(const Fields* fields, const KeyPlan* plan) noexcept nogil:
    """Whether the packet ends its TCP connection, as far as its sender is concerned."""
    cdef const uint8_t* at = field_at(fields, &plan.flags)
    return at != NULL and narrow(at, &plan.flags) & (FIN | RST)


cdef inline bint gather_value(const Fields* fields, const KeyPlan* plan, double* out) noexcept nogil:
    cdef const uint8_t* at
    if not plan.valued:
        out[0] = 1.0
        return 1
    at = field_at(fields, &plan.value)
    if at == NULL:
        return 0
    out[0] = narrow(at, &plan.value)                # definitions.py allows numbers only
    return 1
