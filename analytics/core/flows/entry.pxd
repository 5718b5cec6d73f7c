"""What is kept of a flow: its value, and samples that are added up beside it."""

from libc.math cimport exp
from libc.stdint cimport uint32_t, uint64_t

cdef struct Value:                                  # the payload of an entry; Span and State follow, if it has them
    double rate, last

cdef struct Span:                                   # samples that were added up, and when
    double start, last, total
    uint64_t samples                                # 0: of a flow record, none is open

cdef packed struct PackedElephant:                  # as Python reads it; its key follows
    uint32_t source, key_id
    double rate, peak, first
    Span span


cdef inline double decay(double x) noexcept nogil:
    """exp(-x). Busy entries are updated often, so x is mostly tiny: five terms are then exact to 3e-11."""
    cdef double square = x * x
    if x < 0.02:
        return (1.0 - x) + square * ((0.5 - x * (1.0 / 6.0)) + square * (1.0 / 24.0))
    return exp(-x)


cdef inline double rate_at(const Value* value, double now, double fading) noexcept nogil:
    """A value that no sample has come for since its last one."""
    return value.rate * exp(min(value.last - now, 0.0) * fading)


cdef inline void begin(Span* span, double amount, double now) noexcept nogil:
    """The first sample."""
    span.start = span.last = now
    span.total, span.samples = amount, 1


cdef inline void extend(Span* span, double amount, double now) noexcept nogil:
    """One more sample."""
    span.last = max(span.last, now)
    span.total += amount
    span.samples += 1
