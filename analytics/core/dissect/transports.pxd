"""What IP carries besides TCP and UDP."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol walk_transport(Protocol next_header, Walk* walk) noexcept nogil
