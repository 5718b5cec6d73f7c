"""The two forms that are not a tree of fields: one line per sample, and the sampled packets themselves."""

from libc.stdint cimport uint32_t

from analytics.core.printing.buffer cimport Buffer
from analytics.core.wire.sflow cimport Datagram

cdef enum:
    MOST_INTERFACES = 20                            # one per header protocol

cdef struct Packets:
    int interfaces                                  # blocks written so far
    uint32_t protocol[MOST_INTERFACES]

cdef void show_lines(Buffer* out, Datagram* datagram) noexcept nogil
cdef void begin_capture(Buffer* out) noexcept nogil
cdef void write_packets(Buffer* out, Packets* packets, Datagram* datagram, double now) noexcept nogil
