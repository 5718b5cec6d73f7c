from libc.stdint cimport uint8_t

cdef enum:
    UPGRADED_BYTES = 1 << 18                        # room for any datagram of UDP: nothing grows fourfold

cdef size_t upgrade(const uint8_t* at, size_t length, uint8_t* out) noexcept nogil
