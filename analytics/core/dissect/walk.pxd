"""Walk the headers of a sampled packet."""

from libc.stdint cimport uint8_t, uint32_t

from analytics.core.dissect.packet cimport Fields

cdef void dissect(Fields* fields, uint32_t protocol, const uint8_t* header, uint32_t length) noexcept nogil
