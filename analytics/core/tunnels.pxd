"""The rungs of the ladder that carry another packet."""

from analytics.core.packet cimport Protocol
from analytics.core.rungs cimport Walk

cdef Protocol climb_tunnel(Protocol rung, Walk* walk) noexcept nogil
