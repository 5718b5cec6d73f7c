"""Memory of the tables' segments; explained in pages.pyx."""

from libc.stdint cimport uint8_t

cdef enum:
    LARGEST = 1 << 21                               # bytes of a whole segment: a huge page

cdef uint8_t* zeroed(size_t size) noexcept nogil
cdef void release(uint8_t* made, size_t size) noexcept nogil
