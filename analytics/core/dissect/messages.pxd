"""What UDP carries and is no packet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol walk_message(Protocol next_header, Walk* walk) noexcept nogil
