"""Packets that an agent told in words instead of bytes."""

from analytics.core.dissect.packet cimport Fields
from analytics.core.wire.sflow cimport FlowSample

cdef void summarise(Fields* fields, const FlowSample* sample) noexcept nogil
