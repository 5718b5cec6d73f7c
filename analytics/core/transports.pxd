"""What IP carries besides TCP and UDP."""

from analytics.core.packet cimport Protocol
from analytics.core.rungs cimport Walk

cdef Protocol climb_transport(Protocol rung, Walk* walk) noexcept nogil
