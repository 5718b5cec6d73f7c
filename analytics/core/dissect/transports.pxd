"""What IP carries besides TCP and UDP."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol climb_transport(Protocol rung, Walk* walk) noexcept nogil
