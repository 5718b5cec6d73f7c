"""What flow records beside the sampled header say, as fields of the sample."""

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.sflow cimport FlowSample

cdef void describe_records(Fields* fields, const FlowSample* sample) noexcept nogil
