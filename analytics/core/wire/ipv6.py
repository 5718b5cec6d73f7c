"""IPv6 extension headers (RFC 8200 section 4; IANA, IPv6 Extension Header Types) and how long each is: one row each.

Every one starts with the number of the next header and a length, a byte each, and takes 8 bytes plus `length` units. A
fragment header has no length: its unit is 0, as that byte is reserved. ESP (50) is none here, because what follows it
is encrypted.

This is data only. `analytics.core.wire.extensions` compiles it for the native readers; inputs/capture.py reads it.
"""

from __future__ import annotations

ROUTING, FRAGMENT, AUTHENTICATION = 43, 44, 51

EXTENSIONS = {
    0: 8,  # hop-by-hop options
    ROUTING: 8,
    FRAGMENT: 0,
    AUTHENTICATION: 4,  # RFC 4302 section 2.2
    60: 8,  # destination options
    135: 8,  # mobility, RFC 6275 section 6.1
    139: 8,  # host identity protocol, RFC 7401 section 5.1
    140: 8,  # shim6, RFC 5533 section 5.1
}
"""Protocol number -> bytes in a unit of its length."""

MAX_EXTENSIONS = 8
"""Headers followed in one chain; real packets have one or two."""
