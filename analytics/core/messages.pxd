"""What lies in UDP and is no packet."""

from analytics.core.packet cimport Protocol
from analytics.core.rungs cimport Walk

cdef Protocol climb_message(Protocol rung, Walk* walk) noexcept nogil
