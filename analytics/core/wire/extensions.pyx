"""The table of analytics.core.wire.ipv6, compiled once at import."""

from libc.stdint cimport int8_t
from libc.string cimport memset

from analytics.core.wire import ipv6


cdef void compile_units() except *:
    if (MOST_EXTENSIONS, ROUTING, FRAGMENT, AUTHENTICATION) != (
            ipv6.MAX_EXTENSIONS, ipv6.ROUTING, ipv6.FRAGMENT, ipv6.AUTHENTICATION):
        raise ImportError("extensions.pxd and ipv6.py name different numbers")
    memset(UNITS, -1, sizeof(UNITS))
    for protocol, unit in ipv6.EXTENSIONS.items():
        UNITS[<int>protocol] = <int8_t>unit


compile_units()
