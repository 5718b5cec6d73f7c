"""The keys of flow records."""

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.sflow cimport FlowSample

cdef void describe_kept(Fields* fields, const FlowSample* sample) noexcept nogil
