"""Datagrams and samples that are passed on to others (relay.pyx)."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.sflow cimport CounterSample, Datagram, FlowSample

cdef enum:
    MOST_TARGETS = 32
    MOST_WAITING = 4 << 20                          # bytes of what waits to be sent
    MOST_BYTES = 65507                              # of a UDP datagram's payload

cdef struct Place:                                  # of a port; `index` is not read where only the agent counts
    uint64_t agent[3]                               # as in wire.sflow.Datagram
    uint32_t index

cdef struct Prefix:
    uint8_t address[16]                             # IPv4 as ::ffff:a.b.c.d
    uint32_t bits

cdef struct Target:
    bint chosen                                     # samples that match one of what follows; else whole datagrams
    Place* agents                                   # of which datagrams are taken; none: of all
    Place* ports
    Prefix* prefixes
    uint8_t* macs                                   # six bytes each
    uint32_t agent_count, port_count, prefix_count, mac_count
    uint64_t datagrams, samples, lost               # lost: datagrams for which there was no room

cdef struct Waiting:                                # before the bytes of each datagram that waits
    uint32_t target, length


@cython.final
cdef class Relay:
    cdef Target targets[MOST_TARGETS]
    cdef uint32_t target_count
    cdef uint8_t* waiting
    cdef size_t used
    cdef Fields* fields

    cdef void take(self, const uint8_t* raw, size_t raw_length, const uint8_t* at, size_t length,
                   const uint64_t* agent) noexcept nogil
    cdef void choose(self, uint32_t number, const uint8_t* at, size_t length) noexcept nogil
    cdef uint8_t* room(self, uint32_t number, size_t length) noexcept nogil
    cdef bint wants_flow(self, const Target* target, const uint64_t* agent, const FlowSample* flow) noexcept nogil
    cdef bint wants_counters(self, const Target* target, const uint64_t* agent,
                             const CounterSample* counters) noexcept nogil
    cdef void clear(self) noexcept
