"""Link layers other than Ethernet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol walk_link(Protocol next_header, Walk* walk) noexcept nogil
