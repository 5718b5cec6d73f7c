"""Bounds-checked reading of XDR (RFC 4506): a window is two pointers, and nothing is read outside of it.

Every sample and record of sFlow carries its length, so each is read inside its own window (`cut`). A read that does
not fit answers 0 and leaves the window where it was; the caller counts a fault and goes on behind the window's end.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define howdah_be16(x) __builtin_bswap16(x)
    #define howdah_be32(x) __builtin_bswap32(x)
    #define howdah_be64(x) __builtin_bswap64(x)
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #undef howdah_be16
    #undef howdah_be32
    #undef howdah_be64
    #define howdah_be16(x) (x)
    #define howdah_be32(x) (x)
    #define howdah_be64(x) (x)
    #endif
    """
    uint16_t swap16 "howdah_be16"(uint16_t) noexcept nogil
    uint32_t swap32 "howdah_be32"(uint32_t) noexcept nogil
    uint64_t swap64 "howdah_be64"(uint64_t) noexcept nogil

cdef struct Window:
    const uint8_t* at
    const uint8_t* end


cdef inline uint16_t be16(const uint8_t* p) noexcept nogil:
    cdef uint16_t word
    memcpy(&word, p, 2)                             # the wire is not aligned; the compiler makes this one load
    return swap16(word)


cdef inline uint32_t be32(const uint8_t* p) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, p, 4)
    return swap32(word)


cdef inline uint64_t be64(const uint8_t* p) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, p, 8)
    return swap64(word)


cdef inline size_t left(const Window* window) noexcept nogil:
    return <size_t>(window.end - window.at)


cdef inline bint take32(Window* window, uint32_t* value) noexcept nogil:
    """Read one unsigned word; 0 when the window is too short."""
    if left(window) < 4:
        return 0
    value[0] = be32(window.at)
    window.at += 4
    return 1


cdef inline bint cut(Window* window, uint32_t length, Window* part) noexcept nogil:
    """Cut `length` bytes off the front as a window of their own; skip the padding to 4 behind them if it is there."""
    cdef size_t available = left(window)
    cdef size_t padded = (<size_t>length + 3) & ~<size_t>3
    if length > available:
        return 0
    part.at = window.at
    part.end = window.at + length
    window.at += padded if padded <= available else available
    return 1
