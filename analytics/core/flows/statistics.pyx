"""The state of an entry that has more than one rate: per value a rate, an average, an extreme or a count.

    rate      sum of amount x sampling rate, which fades by exp(-dt/t), over t (as flowcache.pyx keeps the one value)
    avg       the same sum over the sum of sampling rates: the mean of what the packets carried, not of what was sampled
    min, max  of the current window and the one before it; a window lasts t
    count     how many different values these two have seen, as far as sampled; none is scaled by the sampling rate

So a delay of 839,660,224 ns reads as that, however the sender samples. What is distinct is estimated with REGISTERS
registers (HyperLogLog, Flajolet et al. 2007; few values by linear counting): 9 % standard error from some hundred on,
and of ten values one is often missed. An entry takes 16 bytes more than others, and 8 for a rate, 16 for an average or
an extreme, 256 for a count.

A sample that lacks a value counts for the others; one that lacks the first value does not count.
"""

from libc.math cimport log
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.dissect.packet cimport NAME_BYTES, Fields
from analytics.core.flows.flowkeys cimport (
    DISTINCT, LEAST, MEAN, MOST, RATE, REGISTERS, STATE_HEAD, KeyPlan, Measured, Pick, field_at, narrow, store,
)
from analytics.core.staticassert cimport static_assert
from analytics.core.table cimport digest_of

cdef extern from *:
    int leading_zeros "__builtin_clzll"(uint64_t) noexcept nogil

cdef enum:
    REGISTER_BITS = 7

static_assert(REGISTERS == 1 << REGISTER_BITS)
static_assert(sizeof(State) == 8 * STATE_HEAD)


cdef bint observation_of(const Fields* fields, const KeyPlan* plan, double weight, uint64_t seed,
                         Observation* out) noexcept nogil:
    """Read a sample's values; 0 when it lacks the first."""
    cdef uint64_t[NAME_BYTES / 8] words
    cdef const Measured* value
    cdef const Pick* row
    cdef const uint8_t* at
    cdef uint32_t i, which
    out.present, out.weight = 0, weight
    for i in range(plan.value_count):
        value = &plan.values[i]
        out.numbers[i] = 1.0
        if value.count == 0:
            out.present |= <uint32_t>1 << i
        for which in range(value.count):
            row = &value.picks[which]
            at = field_at(fields, row)
            if at == NULL:
                continue
            out.present |= <uint32_t>1 << i
            if value.statistic == DISTINCT:
                memset(words, 0, sizeof(words))
                store(at, row, <uint8_t*>words)
                out.digests[i] = digest_of(seed, words, (row.size + 7) // 8)
            else:
                out.numbers[i] = narrow(at, row)    # definitions.py allows numbers only
            break
    return out.present & 1


cdef inline double* place_of(const KeyPlan* plan, const State* state, uint32_t which) noexcept nogil:
    return <double*>state + plan.values[which].place


cdef void turn(const KeyPlan* plan, State* state, double now, double window) noexcept nogil:
    """Begin a new window: what was seen in the last one is that of the one before."""
    cdef bint follows = now - state.turned < 2 * window
    cdef uint8_t* registers
    cdef double* place
    cdef uint32_t i
    for i in range(plan.value_count):
        place = place_of(plan, state, i)
        if plan.values[i].statistic == DISTINCT:
            registers = <uint8_t*>place
            if follows:
                memcpy(registers + REGISTERS, registers, REGISTERS)
            else:
                memset(registers + REGISTERS, 0, REGISTERS)
            memset(registers, 0, REGISTERS)
        elif plan.values[i].statistic in (LEAST, MOST):
            place[1] = place[0]
    state.before = state.current if follows else 0
    state.current = 0
    state.turned = now


cdef void take_in(const KeyPlan* plan, State* state, const Observation* seen, double faded, double gain, double now,
                  double window) noexcept nogil:
    """Add a sample; `faded` is what is left of what was added before, `window` lasts t, 1/t is the `gain`."""
    cdef const Measured* value
    cdef uint8_t* registers
    cdef double* place
    cdef double number
    cdef uint32_t i, bit, rank
    if state.current | state.before == 0:
        state.turned = now
    elif now - state.turned >= window:
        turn(plan, state, now, window)
    for i in range(plan.value_count):
        value, place, number, bit = &plan.values[i], place_of(plan, state, i), seen.numbers[i], <uint32_t>1 << i
        if value.statistic == RATE:
            place[0] *= faded
        elif value.statistic == MEAN:
            place[0] *= faded
            place[1] *= faded
        if not seen.present & bit:
            continue
        if value.statistic == RATE:
            place[0] += number * seen.weight * gain
        elif value.statistic == MEAN:
            place[0] += number * seen.weight
            place[1] += seen.weight
        elif value.statistic == LEAST:
            place[0] = min(place[0], number) if state.current & bit else number
        elif value.statistic == MOST:
            place[0] = max(place[0], number) if state.current & bit else number
        else:
            registers = <uint8_t*>place + (seen.digests[i] & (REGISTERS - 1))
            rank = 1 + leading_zeros(seen.digests[i] | REGISTERS - 1)
            registers[0] = max(registers[0], <uint8_t>rank)
        state.current |= bit


cdef double distinct(const uint8_t* registers) noexcept nogil:
    """The estimate of both windows together."""
    cdef double total = 0.0, estimate
    cdef uint32_t i, rank, empty = 0
    for i in range(REGISTERS):
        rank = max(registers[i], registers[REGISTERS + i])
        empty += rank == 0
        total += 1.0 / <double>(<uint64_t>1 << rank)
    estimate = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS * REGISTERS / total
    if estimate <= 2.5 * REGISTERS and empty:
        return REGISTERS * log(<double>REGISTERS / empty)
    return estimate


cdef bint figure(const KeyPlan* plan, const State* state, uint32_t which, double* out, double* weight) noexcept nogil:
    """A value as of the last sample, and its weight among others of its kind; 0: none was seen lately."""
    cdef double* place = place_of(plan, state, which)
    cdef uint32_t bit = <uint32_t>1 << which
    weight[0] = 1.0
    if plan.values[which].statistic == RATE:
        out[0] = place[0]
        return 1
    if plan.values[which].statistic == MEAN:
        weight[0] = place[1]
        out[0] = place[0] / place[1] if place[1] > 0 else 0.0
        return place[1] > 0
    if plan.values[which].statistic == DISTINCT:
        out[0] = distinct(<uint8_t*>place)
        return 1
    if state.current & bit and state.before & bit:
        out[0] = min(place[0], place[1]) if plan.values[which].statistic == LEAST else max(place[0], place[1])
    else:
        out[0] = place[0] if state.current & bit else place[1]
    return (state.current | state.before) & bit != 0
