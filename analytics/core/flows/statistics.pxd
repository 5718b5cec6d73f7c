"""More than one rate per flow: for definitions with averages, extremes, counts or several values (statistics.pyx)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.dissect.packet cimport Fields
from analytics.core.flows.flowkeys cimport MOST_VALUES, KeyPlan

cdef struct Observation:                            # what one sample says about the values of a definition
    uint32_t present                                # bit per value
    double weight                                   # the sampling rate
    double numbers[MOST_VALUES]
    uint64_t digests[MOST_VALUES]                   # of what is counted

cdef struct State:                                  # of an entry, in 8-byte words; those of its values are behind it
    double turned                                   # when the window began
    uint32_t current, before                        # bit per value: this window has seen one, and the one before

cdef bint observation_of(const Fields* fields, const KeyPlan* plan, double weight, uint64_t seed,
                         Observation* out) noexcept nogil
cdef void take_in(const KeyPlan* plan, State* state, const Observation* seen, double faded, double gain, double now,
                  double window) noexcept nogil
cdef bint figure(const KeyPlan* plan, const State* state, uint32_t which, double* out, double* weight) noexcept nogil
