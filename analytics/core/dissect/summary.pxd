"""Packets of which an agent sent the decoded fields and no bytes."""

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.sflow cimport FlowSample

cdef void summarise(Fields* fields, const FlowSample* sample) noexcept nogil
