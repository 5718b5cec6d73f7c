"""A datagram is read as a stream of samples: open it, then call next_sample until it answers END."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.wire.xdr cimport Window

cdef enum Opened:
    ACCEPTED
    NOT_SFLOW                                       # too short for its own header, or a bad agent address
    OTHER_VERSION

cdef enum SampleKind:
    END
    FLOW
    COUNTERS
    DISCARD                                         # a dropped packet, read into the FlowSample
    RTMETRIC                                        # 4300:1002, its body in the CounterSample, all else 0
    SKIPPED                                         # a structure we do not read, skipped by its length

cdef enum:
    MOST_KEPT = 32                                  # records of one sample that are kept for notes.pyx

cdef struct Record:
    uint32_t tag
    Window body                                     # never empty

cdef struct Datagram:
    uint64_t agent[3]                               # address type (0: it says none), 16 bytes of address: a key
    uint32_t sub_agent
    uint32_t sequence
    uint32_t uptime                                 # ms
    uint32_t samples                                # still to come
    uint32_t faults                                 # samples and records that did not fit their windows
    Window rest

cdef struct FlowSample:
    uint32_t sequence, source_class, source_index, rate, pool, drops
    uint32_t in_format, in_value, out_format, out_value
    uint32_t protocol, frame_length, stripped, length
    const uint8_t* header                           # NULL without a sampled_header record
    bint switched                                   # the extended_switch record is there
    uint32_t src_vlan, src_priority, dst_vlan, dst_priority
    bint discard                                    # a discarded packet (0:5): one event, not sampled, rate 1
    uint32_t reason                                 # of a discard
    uint32_t kept
    Record records[MOST_KEPT]                       # beside sampled_header and extended_switch, known or not

cdef struct CounterSample:
    uint32_t sequence, source_class, source_index, records
    Window body                                     # the records, unread

cdef Opened open_datagram(Datagram* datagram, const uint8_t* at, size_t length) noexcept nogil
cdef SampleKind next_sample(Datagram* datagram, FlowSample* flow, CounterSample* counters) noexcept nogil
cdef bint next_record(CounterSample* sample, uint32_t* tag, Window* record, uint32_t* faults) noexcept nogil
