"""Link layers other than Ethernet."""

from analytics.core.packet cimport Protocol
from analytics.core.rungs cimport Walk

cdef Protocol climb_link(Protocol rung, Walk* walk) noexcept nogil
