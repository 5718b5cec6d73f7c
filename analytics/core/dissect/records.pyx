"""What a sample says beside its sampled header: a reason, and flow records (sflow-wire.md section 3).

sflow.pyx keeps the windows of the records, notes.pyx makes keys of them, and without a sampled header summary.pyx makes
the packet. A sample that has nothing but a header ends here after two comparisons.
"""

from analytics.core.dissect.notes cimport describe_kept
from analytics.core.dissect.packet cimport REASON, REASON_WORD, Fields, note
from analytics.core.wire.sflow cimport FlowSample


cdef void describe_records(Fields* fields, const FlowSample* sample) noexcept nogil:
    """Add what a sample's records say; after packet.describe, which forgets the last sample."""
    if sample.discard or sample.out_format == 1:
        note(fields, REASON, REASON_WORD, sample.reason if sample.discard else sample.out_value)
    if sample.kept:
        describe_kept(fields, sample)
