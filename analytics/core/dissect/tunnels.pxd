"""The headers that carry another packet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol walk_tunnel(Protocol next_header, Walk* walk) noexcept nogil
