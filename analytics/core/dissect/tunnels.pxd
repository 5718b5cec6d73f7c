"""The rungs of the ladder that carry another packet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol climb_tunnel(Protocol rung, Walk* walk) noexcept nogil
