"""Link layers other than Ethernet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol climb_link(Protocol rung, Walk* walk) noexcept nogil
