"""The table of IPv6 extension headers, compiled: is a protocol one, and how long is it."""

from libc.stdint cimport int8_t, uint8_t, uint32_t

cdef enum:
    MOST_EXTENSIONS = 8                             # ipv6.MAX_EXTENSIONS
    ROUTING = 43
    FRAGMENT = 44
    AUTHENTICATION = 51

cdef int8_t UNITS[256]                              # by protocol number; -1: no extension header


cdef inline bint is_extension(uint8_t protocol) noexcept nogil:
    return UNITS[protocol] >= 0


cdef inline uint32_t extension_length(uint8_t protocol, const uint8_t* at) noexcept nogil:
    """The length of the extension header at `at`, of which two bytes are there."""
    return 8 + <uint32_t>UNITS[protocol] * at[1]
