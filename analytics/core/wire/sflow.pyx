"""sFlow v5 datagrams -> samples (sflow.org/sflow_version_5.txt; sflow-wire.md sections 1-4).

    datagram  version 5 | agent address | sub-agent | sequence | uptime ms | count | sample*
    sample    tag (enterprise << 12 | format) | length | body       flow 0:1 0:3, counters 0:2 0:4, discard 0:5
    record    tag | length | body

Each sample and each record is read inside its own window, so one that lies about itself is one counted fault and its
neighbours survive. Structures we do not read are skipped by their length. A datagram that is no sFlow v5 is refused
whole; those of versions 2 and 4 are rewritten first (older.pyx).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from analytics.core.wire.xdr cimport Window, be32, be64, cut, left, take32

import struct

from analytics.core.wire import rows, structures

cdef enum:
    RTMETRIC_TAG = 4300 << 12 | 1002


cdef Opened open_datagram(Datagram* datagram, const uint8_t* at, size_t length) noexcept nogil:
    """Read the datagram's own header."""
    cdef Window window = Window(at, at + length)
    cdef uint32_t version, kind, size
    memset(datagram, 0, sizeof(Datagram))
    if not take32(&window, &version):
        return NOT_SFLOW
    if version != 5:
        return OTHER_VERSION if version in (1, 2, 4) else NOT_SFLOW
    if not take32(&window, &kind) or kind > 2:
        return NOT_SFLOW
    size = 0 if kind == 0 else 4 if kind == 1 else 16
    if left(&window) < size + 16:
        return NOT_SFLOW
    datagram.agent[0] = kind
    memcpy(&datagram.agent[1], window.at, size)
    window.at += size
    take32(&window, &datagram.sub_agent)
    take32(&window, &datagram.sequence)
    take32(&window, &datagram.uptime)
    take32(&window, &datagram.samples)
    datagram.rest = window
    return ACCEPTED


cdef inline void interface(uint32_t word, uint32_t* form, uint32_t* value) noexcept nogil:
    """Split a compact interface word (2.2): 2 bits of format, 30 of value; 0x3FFFFFFF is a value, the device itself."""
    form[0] = word >> 30
    value[0] = word & 0x3FFFFFFF


cdef bint flow_header(Window* body, FlowSample* flow, bint expanded, uint32_t* records) noexcept nogil:
    """The fixed part of a flow sample: 0:1 in 8 words, 0:3 in 11."""
    cdef const uint8_t* at = body.at
    if left(body) < (44 if expanded else 32):
        return 0
    flow.sequence = be32(at)
    if expanded:
        flow.source_class, flow.source_index = be32(at + 4), be32(at + 8)
        at += 4                                     # from here on one word later
        flow.in_format, flow.in_value = be32(at + 20), be32(at + 24)
        flow.out_format, flow.out_value = be32(at + 28), be32(at + 32)
        records[0] = be32(at + 36)
    else:
        flow.source_class, flow.source_index = at[4], be32(at + 4) & 0xFFFFFF
        interface(be32(at + 20), &flow.in_format, &flow.in_value)
        interface(be32(at + 24), &flow.out_format, &flow.out_value)
        records[0] = be32(at + 28)
    flow.rate, flow.pool, flow.drops = be32(at + 8), be32(at + 12), be32(at + 16)
    body.at += 44 if expanded else 32
    return 1


cdef bint discard_header(Window* body, FlowSample* flow, uint32_t* records) noexcept nogil:
    """The fixed part of a discarded packet 0:5: eight words, ports as plain ifIndexes (0: unknown or none)."""
    cdef const uint8_t* at = body.at
    if left(body) < 32:
        return 0
    flow.sequence, flow.source_class, flow.source_index = be32(at), be32(at + 4), be32(at + 8)
    flow.rate, flow.pool, flow.drops = 1, 0, be32(at + 12)
    flow.in_format, flow.in_value = 0, be32(at + 16)
    flow.out_format, flow.out_value = 0, be32(at + 20)
    flow.reason = be32(at + 24)
    records[0] = be32(at + 28)
    body.at += 32
    return 1


cdef uint32_t stated_length(const FlowSample* flow) noexcept nogil:
    """The bytes of a packet without a sampled_header: as sampled_ethernet says, else sampled_ipv4 or sampled_ipv6."""
    cdef uint32_t i, length = 0
    for i in range(flow.kept):
        if flow.records[i].tag in (2, 3, 4) and left(&flow.records[i].body) >= 4:
            if flow.records[i].tag == 2:
                return be32(flow.records[i].body.at)
            length = be32(flow.records[i].body.at)
    return length


cdef bint flow_record(uint32_t tag, Window* record, FlowSample* flow) noexcept nogil:
    """One flow record. 0 when it does not fit its window; records we do not read are fine."""
    cdef uint32_t length
    cdef const uint8_t* at = record.at
    if tag == 1:                                    # sampled_header: protocol, frame_length, stripped, header opaque<>
        if left(record) < 16:
            return 0
        flow.protocol, flow.frame_length, flow.stripped = be32(at), be32(at + 4), be32(at + 8)
        length = be32(at + 12)
        flow.header = at + 16
        flow.length = length
        if length > left(record) - 16:              # keep the part of the header that is there
            flow.length = <uint32_t>(left(record) - 16)
            return 0
    elif tag == 1001:                               # extended_switch
        if left(record) < 16:
            return 0
        flow.switched = 1
        flow.src_vlan, flow.src_priority = be32(at), be32(at + 4)
        flow.dst_vlan, flow.dst_priority = be32(at + 8), be32(at + 12)
    elif left(record) and flow.kept < MOST_KEPT:    # empty: nothing to keep, no fault
        flow.records[flow.kept] = Record(tag, record[0])
        flow.kept += 1
    return 1


cdef bint flow_sample(Datagram* datagram, Window body, FlowSample* flow, uint32_t form) noexcept nogil:
    """A flow sample (form 1), expanded (3), or a discarded packet (5)."""
    cdef uint32_t records = 0, tag = 0, length = 0
    cdef Window record
    flow.header, flow.switched = NULL, 0            # one by one: clearing the whole struct costs more than reading it
    flow.protocol = flow.frame_length = flow.stripped = flow.length = flow.kept = 0
    flow.discard = form == 5
    if not (discard_header(&body, flow, &records) if flow.discard else flow_header(&body, flow, form == 3, &records)):
        datagram.faults += 1
        return 0
    while records:                                  # the count may lie: the window ends the loop
        if not take32(&body, &tag) or not take32(&body, &length) or not cut(&body, length, &record):
            datagram.faults += 1
            break
        if not flow_record(tag, &record, flow):
            datagram.faults += 1
        records -= 1
    if flow.header == NULL:
        flow.frame_length = stated_length(flow)
    return 1


cdef bint counter_sample(Datagram* datagram, Window body, CounterSample* counters, bint expanded) noexcept nogil:
    """The fixed part of a counter sample; its records are read by `next_record`."""
    cdef const uint8_t* at = body.at
    cdef uint32_t size = 16 if expanded else 12
    if left(&body) < size:
        datagram.faults += 1
        return 0
    counters.sequence = be32(at)
    if expanded:
        counters.source_class, counters.source_index = be32(at + 4), be32(at + 8)
    else:
        counters.source_class, counters.source_index = at[4], be32(at + 4) & 0xFFFFFF
    counters.records = be32(at + size - 4)
    counters.body = Window(at + size, body.end)
    return 1


cdef SampleKind next_sample(Datagram* datagram, FlowSample* flow, CounterSample* counters) noexcept nogil:
    """The next sample of the datagram. A broken one is a fault and reads as SKIPPED."""
    cdef uint32_t tag = 0, length = 0
    cdef Window body
    if datagram.samples == 0:
        return END
    datagram.samples -= 1
    if (not take32(&datagram.rest, &tag) or not take32(&datagram.rest, &length)
            or not cut(&datagram.rest, length, &body)):
        datagram.faults += 1
        datagram.samples = 0
        return END
    if tag == 1 or tag == 3:
        return FLOW if flow_sample(datagram, body, flow, tag) else SKIPPED
    if tag == 2 or tag == 4:
        return COUNTERS if counter_sample(datagram, body, counters, tag == 4) else SKIPPED
    if tag == 5:
        return DISCARD if flow_sample(datagram, body, flow, tag) else SKIPPED
    if tag == RTMETRIC_TAG:
        counters.sequence = counters.source_class = counters.source_index = counters.records = 0
        counters.body = body
        return RTMETRIC
    return SKIPPED


cdef bint next_record(CounterSample* sample, uint32_t* tag, Window* record, uint32_t* faults) noexcept nogil:
    """Take the next record off a counter sample; 0 at its end. What does not fit is a fault and the end."""
    cdef uint32_t length = 0
    if sample.records == 0:                         # the count may lie: the window ends the sample too
        return 0
    if (not take32(&sample.body, tag) or not take32(&sample.body, &length)
            or not cut(&sample.body, length, record)):
        faults[0] += 1
        sample.records = 0
        return 0
    sample.records -= 1
    return 1


def counter_records(const uint8_t[::1] body, uint32_t records) -> tuple[dict, int]:
    """Read the records of one counter sample by the table of structures: ({tag: {field: value}}, faults).

    A short record gives what it has and a fault; of two with one tag the last is kept; unknown ones are left out.
    """
    cdef CounterSample sample
    cdef Window record
    cdef uint32_t tag = 0, faults = 0
    cdef const uint8_t* at = &body[0] if body.shape[0] else NULL
    found = {}
    sample.records, sample.body = records, Window(at, at + body.shape[0])
    while next_record(&sample, &tag, &record, &faults):
        key = (tag >> 12, tag & 0xFFF)
        if key in structures.COUNTER_RECORDS:
            found[key], whole = rows.decode_record(key, (<const char*>record.at)[:left(&record)])
            faults += not whole
    return found, faults


RTMETRIC_TYPES = ("text", "counter32", "counter64", "gauge32", "gauge64", "float", "double")
cdef enum:
    MOST_METRICS = 1000                             # in one sample
    MOST_TEXT = 255                                 # bytes kept of a name or text in it


cdef object take_text(Window* window):
    """An XDR string as text of at most MOST_TEXT bytes, None if it does not fit."""
    cdef uint32_t length = 0
    cdef Window text
    if not take32(window, &length) or not cut(window, length, &text):
        return None
    return (<const char*>text.at)[:min(length, MOST_TEXT)].decode("utf-8", "replace")


cdef object take_rtvalue(Window* window, uint32_t kind):
    """A value of one of RTMETRIC_TYPES, None if it does not fit."""
    cdef uint32_t size = 8 if kind in (2, 4, 6) else 4
    cdef const uint8_t* at = window.at
    if kind == 0:
        return take_text(window)
    if left(window) < size:
        return None
    window.at += size
    if kind in (5, 6):
        return struct.unpack(">f" if kind == 5 else ">d", (<const char*>at)[:size])[0]
    return be64(at) if size == 8 else be32(at)


def rtmetric(const uint8_t[::1] body) -> tuple[str, list[tuple[str, str, object]], int] | None:
    """Read 4300:1002: (name of the data source, [(metric, one of RTMETRIC_TYPES, value)], faults).

    None when there is not even a name. The count may lie; what cannot be read ends the sample and is a fault.
    """
    cdef Window window
    cdef uint32_t count = 0, kind = 0
    if body.shape[0] == 0:
        return None
    window = Window(&body[0], &body[0] + body.shape[0])
    source = take_text(&window)
    if not source or not take32(&window, &count):
        return None
    found = []
    while count:
        name = take_text(&window)
        value = None
        if name and len(found) < MOST_METRICS and take32(&window, &kind) and kind < 7:
            value = take_rtvalue(&window, kind)
        if value is None:
            return source, found, 1
        found.append((name, RTMETRIC_TYPES[kind], value))
        count -= 1
    return source, found, 0


cdef dict flow_values(const FlowSample* flow):
    values = {"kind": "discard" if flow.discard else "flow", "sequence": flow.sequence,
              "source_class": flow.source_class,
              "source_index": flow.source_index, "rate": flow.rate, "pool": flow.pool, "drops": flow.drops,
              "input": (flow.in_format, flow.in_value), "output": (flow.out_format, flow.out_value)}
    if flow.header != NULL:
        values |= {"protocol": flow.protocol, "frame_length": flow.frame_length, "stripped": flow.stripped,
                   "header": (<const char*>flow.header)[:flow.length]}
    if flow.discard:
        values["reason"] = flow.reason
    if flow.switched:
        values["switch"] = (flow.src_vlan, flow.src_priority, flow.dst_vlan, flow.dst_priority)
    return values


def decode(const uint8_t[::1] datagram) -> dict | None:
    """Decode one datagram into plain values, None when it is no sFlow v5: the Python border, for tests and tools."""
    cdef Datagram head
    cdef FlowSample flow
    cdef CounterSample counters
    cdef SampleKind kind
    if datagram.shape[0] == 0 or open_datagram(&head, &datagram[0], datagram.shape[0]) != ACCEPTED:
        return None
    result = {"agent": (<const char*>&head.agent[1])[:(0, 4, 16)[head.agent[0]]], "sub_agent": head.sub_agent,
              "sequence": head.sequence, "uptime": head.uptime, "samples": [], "skipped": 0}
    while True:
        kind = next_sample(&head, &flow, &counters)
        if kind == END:
            break
        if kind == SKIPPED:
            result["skipped"] += 1
        elif kind == FLOW or kind == DISCARD:
            result["samples"].append(flow_values(&flow))
        elif kind == RTMETRIC:
            body = (<const char*>counters.body.at)[:left(&counters.body)]
            result["samples"].append({"kind": "rtmetric", "body": body})
        else:
            body = bytes((<const char*>counters.body.at)[:left(&counters.body)])
            found, faults = counter_records(body, counters.records) if body else ({}, int(counters.records != 0))
            head.faults += faults
            result["samples"].append({"kind": "counters", "sequence": counters.sequence, "fields": found,
                                      "source_class": counters.source_class, "source_index": counters.source_index})
    result["faults"] = head.faults
    return result
