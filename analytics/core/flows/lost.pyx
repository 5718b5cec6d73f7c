"""How much each key may lack: a count-min sketch (Cormode and Muthukrishnan 2005) of rates that decay as values do.

Whatever a value lacks is added here when it is lost: the sample of a key that is refused, the rest of an entry that
makes room or goes while something is left of it. A key has one cell in each of ROWS rows, and what it lost was added to
all of them, so it lost at most what the smallest one has, whatever else is in it:

    shown <= true <= shown + the least of its cells + what was refused before its key was known

Of W cells in a row one has more than e/W of what others lose with a probability of 1/e, the least of two rows with
14 %, of four with 2 %. In the second half of the rows the keys of an agent share one of PARTS parts: what one agent
floods loosens the bounds of another's keys only if both have the same part in both rows.

A cell keeps 16 bits of the key that was added last: with a match in any row the key *came before*. What never repeats
does not pass for that but for 1 in 16,384, even where all cells are used, which a rate alone could not tell.

All cells of a line fade together, in steps: a cell has up to 0.4 % too much and never too little. The memory, an eighth
of the table's but 16 kB at least, is taken when something is lost first and given back when nothing is left of it.
"""

from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, exp
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from analytics.core.staticassert cimport static_assert
from analytics.core.table cimport fetch, fold

cdef enum:
    PARTS = 64                                      # of a row in the second half: an agent's keys are in one
    SHARE = 8                                       # one of so many parts of the table's bytes
    LINE_BYTES = 64

cdef double STEP = 1.0 / 1024                       # of t: cells fade when so much has passed,
cdef double SLACK = 1.001                           # which this makes up for
cdef double ROUND_UP = 1 + 2e-7                     # so that a float is no less
cdef uint64_t[ROWS] SPREAD = [
    0x8BB84B93962EACC9, 0x4B33A62ED433D4A3, 0x4D5A2DA51DE1AA47, 0xA0761D6478BD642F,
]                                                   # odd numbers with as many bits set as not (wyhash)

static_assert(sizeof(Line) == LINE_BYTES)


cdef uint64_t line_of(const Lost* lost, uint32_t row, uint64_t spread, uint32_t agent) noexcept nogil:
    """The line of a key in a row."""
    cdef uint64_t part, size = lost.per_row // PARTS
    if row < ROWS // 2:
        return row * lost.per_row + ((spread >> 32) * lost.per_row >> 32)
    part = fold(agent + 1, SPREAD[row]) % PARTS
    return row * lost.per_row + part * size + ((spread >> 32) * size >> 32)


cdef inline uint32_t cell_in(uint64_t spread) noexcept nogil:
    return <uint32_t>((spread & 0xFFFF) * CELLS >> 16)


cdef void fade(const Lost* lost, Line* line, double now) noexcept nogil:
    """Bring a line to a time."""
    cdef double passed = (now - line.last) * lost.gain
    cdef float left
    cdef uint32_t i
    if passed < STEP:
        return
    left = <float>(exp(-passed) * ROUND_UP)
    for i in range(CELLS):
        line.rates[i] *= left
    line.last = now


cdef bint find_spot(Lost* lost, uint64_t hash, uint32_t agent, double now, uint64_t bytes, Spot* spot) noexcept nogil:
    """Where a key that is not in its table has what it lost. If nothing was lost yet, memory for this is made, so much
    as goes with a table of so many bytes; 0: there is none."""
    cdef uint64_t spread
    cdef uint32_t row
    cdef Line* line
    if lost.memory == NULL:
        lost.per_row = max(bytes // (SHARE * ROWS * LINE_BYTES * PARTS), 1) * PARTS
        lost.memory = calloc(ROWS * lost.per_row + 1, LINE_BYTES)
        if lost.memory == NULL:
            return 0
        lost.lines = <Line*>((<uint64_t>lost.memory + LINE_BYTES - 1) & ~<uint64_t>(LINE_BYTES - 1))
    spot.tag = <uint16_t>(hash >> 16)
    spot.came_before = 0
    for row in range(ROWS):
        spread = fold(hash, SPREAD[row])
        spot.lines[row] = &lost.lines[line_of(lost, row, spread, agent)]
        spot.cells[row] = cell_in(spread)
        fetch(spot.lines[row], 1)                   # all at once
    for row in range(ROWS):
        line = spot.lines[row]
        fade(lost, line, now)
        spot.came_before |= line.tags[spot.cells[row]] == spot.tag
        if row == 0 or line.rates[spot.cells[row]] < spot.most:
            spot.most = line.rates[spot.cells[row]]
    return 1


cdef void lose(Lost* lost, Spot* spot, double rate, double now) noexcept nogil:
    """Add what a key loses now."""
    cdef double least = INFINITY, more
    cdef uint32_t row
    cdef Line* line
    for row in range(ROWS):
        line = spot.lines[row]
        more = min((line.rates[spot.cells[row]] + rate * SLACK) * ROUND_UP, FLT_MAX)
        line.rates[spot.cells[row]] = <float>more
        line.tags[spot.cells[row]] = spot.tag
        least = min(least, more)
    settle(lost, now)
    lost.rate += rate
    lost.largest = max(lost.largest, least)


cdef void lose_unkeyed(Lost* lost, double rate, double now) noexcept nogil:
    """Add what is lost of a key that nobody knows."""
    settle(lost, now)
    lost.rate += rate
    lost.unkeyed += rate


cdef void settle(Lost* lost, double now) noexcept nogil:
    """Bring what all keys have in common to a time."""
    cdef double left
    if now > lost.last:
        left = exp((lost.last - now) * lost.gain)
        lost.rate *= left
        lost.largest *= left
        lost.unkeyed *= left
        lost.last = now


cdef double most_lost(const Lost* lost, uint64_t hash, uint32_t agent, double now) noexcept nogil:
    """A key's value lacks no more than this."""
    cdef double most = lost.largest * exp(min(lost.last - now, 0.0) * lost.gain)
    cdef uint64_t spread
    cdef uint32_t row
    cdef const Line* line
    if lost.memory != NULL:
        for row in range(ROWS):
            spread = fold(hash, SPREAD[row])
            line = &lost.lines[line_of(lost, row, spread, agent)]
            most = min(most, line.rates[cell_in(spread)] * exp(min(line.last - now, 0.0) * lost.gain))
    return most + left_at(lost, lost.unkeyed, now)


cdef double left_at(const Lost* lost, double rate, double now) noexcept nogil:
    """What is left of one of the rates that all keys have in common."""
    return rate * exp(min(lost.last - now, 0.0) * lost.gain)


cdef void forget_lost(Lost* lost) noexcept nogil:
    """Nothing is left of it, or nobody will ask."""
    free(lost.memory)
    lost.memory = lost.lines = NULL
    lost.rate = lost.largest = lost.unkeyed = 0


cdef uint64_t lost_bytes(const Lost* lost) noexcept nogil:
    return (ROWS * lost.per_row + 1) * LINE_BYTES if lost.memory != NULL else 0
