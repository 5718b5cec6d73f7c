"""A definition that logs keeps a *flow record* behind each value: first and last sample and their sum, undecayed.

A record ends when its next sample would be `active_s` or more after its first or IDLE_S after its last one; at a look
of FlowCache.expire that finds the same; with a FIN or RST, where keys identify the connection; and with the entry. The
next sample begins another, so every sample is in exactly one record, and those of one entry do not overlap. The entry
of an open record stays, however far its rate has decayed, unless memory is short. When Python cannot be told (the
notices are full), a record goes on instead.
"""

from libc.stdint cimport uint64_t

from analytics.core.flows.entry cimport Span, begin, extend
from analytics.core.flows.notices cimport RECORDED, Notice, Reporter, notice

cdef double IDLE_S = 15.0                           # a record without samples ends: NetFlow's usual time-out


cdef void log_sample(const Logging* logging, const Reporter* reporter, const uint64_t* key, Span* record,
                     double amount, double now) noexcept nogil:
    """Add a sample to the record of an entry, or to a new one."""
    cdef Notice* it
    if is_due(logging, record, now):
        end_record(logging, reporter, key, record)
    if record.samples:
        extend(record, amount, now)
        return
    begin(record, amount, max(now, record.last))
    if logging.flow_start:
        it = notice(reporter, RECORDED, key)
        if it == NULL:
            reporter.notices.lost[<int>RECORDED] += 1
        else:
            it.span = record[0]


cdef bint end_record(const Logging* logging, const Reporter* reporter, const uint64_t* key,
                     Span* record) noexcept nogil:
    """End a record, if one is open; 0: there is no room to tell, it goes on."""
    cdef Notice* it
    if record.samples and not logging.flow_start:   # else it was told when it began
        it = notice(reporter, RECORDED, key)
        if it == NULL:
            return 0
        it.span = record[0]
    record.samples = 0
    return 1


cdef bint is_due(const Logging* logging, const Span* record, double now) noexcept nogil:
    """Whether a record is open and a sample now would belong to the next one."""
    return record.samples and (now - record.start >= logging.active_s or now - record.last >= IDLE_S)
