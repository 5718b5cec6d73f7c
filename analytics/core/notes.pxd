"""The keys of flow records."""

from analytics.core.packet cimport Fields
from analytics.core.sflow cimport FlowSample

cdef void describe_kept(Fields* fields, const FlowSample* sample) noexcept nogil
