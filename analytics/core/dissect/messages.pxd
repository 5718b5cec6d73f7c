"""What lies in UDP and is no packet."""

from analytics.core.dissect.packet cimport Protocol
from analytics.core.dissect.nextheaders cimport Walk

cdef Protocol climb_message(Protocol rung, Walk* walk) noexcept nogil
