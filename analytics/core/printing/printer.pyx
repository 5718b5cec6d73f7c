"""sFlow datagrams as text or JSON, driven by the structure table (sflow-wire.md 8.1-8.7).

    show_datagram -> show_structure (sample) -> show_records -> show_structure (record) -> show_field

Samples and records are structures alike: find the row, locate its fields, print them; so one branch prints them all.
Every structure is read inside its own window, which is cut to what is there: one that lies about its length or its
count gets a `decodeFault` of its own, is counted, and its neighbours are printed. What the table does not know is
printed as `unknownBytes`. JSON is closed and escaped whatever the network sends.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from analytics.core.printing.buffer cimport (
    Buffer, begin, end, last, named, named_text, next_object, put_char, put_ip4, put_ip6, put_member, put_octets,
    put_text, put_u64, say,
)
from analytics.core.printing.lines cimport Packets, begin_capture, show_lines, write_packets
from analytics.core.printing.outer cimport Outer, read_outer, show_outer
from analytics.core.wire.rows cimport (
    ANY_PROTOCOL, COUNTER_RECORDS, COUNTER_TABLE, F32, F64, FLOW_RECORDS, FLOW_TABLE, HEADER, IP4, IP6, MAC,
    MOST_FIELDS, PAYLOAD, PDUS, RTFLOWS, RTMETRICS, SAMPLE_TABLE, STR, U32, U64, FieldKind, Row, ShownRow,
    StructureTable, find, locate, next_structure, take_field,
)
from analytics.core.wire.older cimport UPGRADED_BYTES, upgrade
from analytics.core.wire.sflow cimport ACCEPTED, NOT_SFLOW, OTHER_VERSION, Datagram, Opened, open_datagram
from analytics.core.printing.values cimport put_scalar, show_value
from analytics.core.wire.xdr cimport Window, be32, left, take32

cdef double LATEST = 1e13                           # seconds; what a capture claims beyond it fits no 64 bits of us
cdef enum:
    MOST_DEPTH = 2                                  # of 802.11 aggregations within each other; one is the real limit
    DISCARDED = 5                                   # the sample type whose records' names carry a prefix


cdef void fault(Buffer* out, const char* what) noexcept nogil:
    """Note a fault, if `what` is one, in the object it belongs to; each object has at most one."""
    if what != NULL:
        out.faults += 1
        named_text(out, b"decodeFault", what)


cdef void show_header(Buffer* out, const Window* found, Window header) noexcept nogil:
    """Bytes and decoded headers of a sampled packet; found[0:3] are protocol, frame_length and stripped."""
    cdef Outer outer
    cdef uint32_t frame_length = be32(found[1].at), stripped = be32(found[2].at)
    named(out, b"headerLen", left(&header))
    begin(out, b"headerBytes")
    put_octets(out, header.at, left(&header))
    end(out)
    read_outer(&outer, be32(found[0].at), header)
    show_outer(out, &outer, be32(found[0].at), frame_length - stripped if frame_length > stripped else 0)


cdef const char* show_payload(Buffer* out, Window body) noexcept nogil:
    """0:1013 behind its cipher suite: an opaque (the specification), or a sampled_header (sflowtool)."""
    cdef Window found[MOST_FIELDS]
    cdef Window rest = body
    cdef bint whole = 1
    cdef uint32_t length = 0
    cdef const Row* row = find(&FLOW_TABLE, 1)
    if take32(&rest, &length) and length <= left(&rest) and left(&rest) - length < 4:
        begin(out, b"payload")
        put_octets(out, rest.at, length)
        end(out)
        return NULL
    if row != NULL and locate(row, body, found, &whole) == row.fields:
        return show_located(out, row, found, row.fields, 0)
    show_unknown(out, body)
    return b"neither an opaque nor a sampled header"


cdef void show_unknown(Buffer* out, Window body) noexcept nogil:
    begin(out, b"unknownBytes")
    put_octets(out, body.at, left(&body))
    end(out)


cdef void show_skipped(Buffer* out, const char* what, uint32_t tag, size_t length) noexcept nogil:
    """sflowtool's line for what it does not know; in text only."""
    if out.json:
        return
    say(out, b"skipping unknown ")
    say(out, what)
    say(out, b": ")
    put_tag(out, tag)
    say(out, b" len=")
    put_u64(out, length)
    put_char(out, b"\n")


cdef inline void put_tag(Buffer* out, uint32_t tag) noexcept nogil:
    put_u64(out, tag >> 12)
    put_char(out, b":")
    put_u64(out, tag & 0xFFF)


cdef const char** METRIC_PREFIXES = [
    "rtmetric_string_", "rtmetric_counter32_", "rtmetric_counter64_", "rtmetric_gauge32_", "rtmetric_gauge64_",
    "rtmetric_gaugeFloat_", "rtmetric_gaugeDouble_",
]
cdef const char** RTFLOW_PREFIXES = [
    "rtflow_string_", "rtflow_mac_", "rtflow_ip_", "rtflow_ip6_", "rtflow_int32_", "rtflow_int64_", "rtflow_float_",
    "rtflow_double_",
]
cdef FieldKind* METRIC_KINDS = [STR, U32, U64, U32, U64, F32, F64]
cdef FieldKind* RTFLOW_KINDS = [STR, MAC, IP4, IP6, U32, U64, F32, F64]


cdef bint show_metric(Buffer* out, FieldKind samples, Window* rest) noexcept nogil:
    """One (name, type, value) of an rtmetric or rtflow sample, under its prefix and name; 0 when it does not fit."""
    cdef Window name, value
    cdef uint32_t form = 0
    cdef bint whole = 1
    cdef FieldKind kind
    if not take_field(STR, rest, &name, &whole) or not take32(rest, &form) or form > (6 if samples == RTMETRICS else 7):
        return 0
    kind = METRIC_KINDS[form] if samples == RTMETRICS else RTFLOW_KINDS[form]
    if not take_field(kind, rest, &value, &whole):
        return 0
    if out.json:
        say(out, b',"')
    say(out, METRIC_PREFIXES[form] if samples == RTMETRICS else RTFLOW_PREFIXES[form])
    put_text(out, name.at, left(&name))
    say(out, b'":"' if out.json else b" ")
    put_scalar(out, kind, value)
    end(out)
    return 1


cdef const char* show_metrics(Buffer* out, FieldKind samples, Window rest) noexcept nogil:
    cdef uint32_t count = 0
    cdef bint some = take32(&rest, &count)
    while count and show_metric(out, samples, &rest):
        count -= 1
    if count or not some:
        return b"fewer metrics than their count"
    return NULL


cdef const char* show_pdus(Buffer* out, Window rest, int depth) noexcept nogil:
    """0:1016: a list of lists of flow records, in JSON `pdus`: objects with `elements`."""
    cdef uint32_t count = 0
    if depth >= MOST_DEPTH:
        show_unknown(out, rest)
        return b"aggregations nested too deep"
    if not take32(&rest, &count):
        return b"no count of PDUs"
    if out.json:
        put_member(out, b"pdus", 4)
        put_char(out, b"[")
    while count and left(&rest) >= 4:
        next_object(out)
        fault(out, show_records(out, FLOW_RECORDS, &rest, depth + 1))
        if out.json:
            put_char(out, b"}")
        count -= 1
    if out.json:
        put_char(out, b"]")
    if count:
        return b"fewer PDUs than their count"
    return NULL


cdef const char* show_records(Buffer* out, FieldKind kind, Window* rest, int depth) noexcept nogil:
    """A count and its records, in JSON `elements`."""
    cdef uint32_t count = 0, tag = 0
    cdef Window body
    cdef bint whole = 1, some = take32(rest, &count)
    if out.json:
        say(out, b'"elements":[' if last(out) == b"{" else b',"elements":[')
    while count and next_structure(rest, &tag, &body, &whole):
        if kind == FLOW_RECORDS:
            show_structure(out, &FLOW_TABLE, b"flowBlock_tag", tag, body, whole, depth)
        else:
            show_structure(out, &COUNTER_TABLE, b"counterBlock_tag", tag, body, whole, depth)
        count -= 1
    if out.json:
        put_char(out, b"]")
    if count or not some:
        return b"fewer records than their count"
    return NULL


cdef const char* show_located(Buffer* out, const Row* row, const Window* found, int fields, int depth) noexcept nogil:
    """The label and the printed fields of a structure, as far as they were found; answers what is wrong, or NULL."""
    cdef const char* wrong = NULL
    cdef const char* now
    cdef const ShownRow* shown
    cdef int i
    if row.label_key != NULL:
        named_text(out, row.label_key, row.label)
    for i in range(row.shown):
        shown = &row.show[i]
        if shown.field >= fields or (shown.protocol != ANY_PROTOCOL and be32(found[1].at) != shown.protocol):
            continue
        now = show_field(out, row, shown, found, depth)
        wrong = now if now != NULL else wrong
    return wrong


cdef const char* show_field(Buffer* out, const Row* row, const ShownRow* shown, const Window* found,
                            int depth) noexcept nogil:
    cdef Window value = found[shown.field]
    cdef const char* wrong = NULL
    if shown.kind == HEADER:
        show_header(out, found, value)
    elif shown.kind == FLOW_RECORDS or shown.kind == COUNTER_RECORDS:
        out.discarded = row.tag == DISCARDED
        wrong = show_records(out, shown.kind, &value, depth)
        out.discarded = 0
    elif shown.kind == PDUS:
        wrong = show_pdus(out, value, depth)
    elif shown.kind == PAYLOAD:
        wrong = show_payload(out, value)
    elif shown.kind == RTMETRICS or shown.kind == RTFLOWS:
        wrong = show_metrics(out, shown.kind, value)
    else:
        show_value(out, shown, value)
    return wrong


cdef void show_structure(Buffer* out, const StructureTable* table, const char* key, uint32_t tag, Window body,
                         bint whole, int depth) noexcept nogil:
    """One sample or record as an object, or as its lines of text."""
    cdef const Row* row = find(table, tag)
    cdef Window found[MOST_FIELDS]
    cdef const char* wrong = NULL
    cdef bint complete = 1
    cdef int fields
    next_object(out)
    begin(out, key)
    put_tag(out, tag)
    end(out)
    if row == NULL or row.fields == 0:
        show_skipped(out, b"sample" if table == &SAMPLE_TABLE else b"flow_sample_element" if table == &FLOW_TABLE
                     else b"counters_sample_element", tag, left(&body))
        show_unknown(out, body)
    else:
        fields = locate(row, body, found, &complete)
        wrong = show_located(out, row, found, fields, depth)
        if not complete:
            wrong = b"shorter than its fields"
    if not whole:
        wrong = b"its length goes beyond the end"
    fault(out, wrong)
    if out.json:
        put_char(out, b"}")


cdef void show_samples(Buffer* out, Datagram* datagram) noexcept nogil:
    cdef uint32_t tag = 0
    cdef Window body
    cdef bint whole = 1
    while datagram.samples and next_structure(&datagram.rest, &tag, &body, &whole):
        if not out.json:
            say(out, b"startSample ----------------------\n")
        show_structure(out, &SAMPLE_TABLE, b"sampleType_tag", tag, body, whole, 0)
        if not out.json:
            say(out, b"endSample   ----------------------\n")
        datagram.samples -= 1


cdef struct Arrival:
    uint32_t version                                # of the datagram as it was
    uint64_t seconds
    uint32_t microseconds
    bint recorded                                   # read from a capture
    const char* source
    const char* local                               # local time


cdef void show_arrival(Buffer* out, const Arrival* arrival, size_t length) noexcept nogil:
    named_text(out, b"datagramSourceIP", arrival.source)
    named(out, b"datagramSize", length)
    named(out, b"unixSecondsUTC", arrival.seconds)
    named(out, b"unixSecondsUTC_uS", arrival.microseconds)
    named_text(out, b"localtime", arrival.local)
    if arrival.recorded:
        named_text(out, b"pcapTimestamp", arrival.local)
        named(out, b"pcapTimestamp_uS", arrival.microseconds)


cdef void show_datagram(Buffer* out, Datagram* datagram, const Arrival* arrival, size_t length) noexcept nogil:
    """One datagram: an object on a line of its own, or lines of text between markers."""
    say(out, b"{" if out.json else b"startDatagram =================================\n")
    show_arrival(out, arrival, length)
    named(out, b"datagramVersion", arrival.version)
    if arrival.version == 5:
        named(out, b"agentSubId", datagram.sub_agent)
    begin(out, b"agent")
    if datagram.agent[0] == 1:
        put_ip4(out, <const uint8_t*>&datagram.agent[1])
    elif datagram.agent[0] == 2:
        put_ip6(out, <const uint8_t*>&datagram.agent[1])
    else:
        put_char(out, b"-")
    end(out)
    named(out, b"packetSequenceNo", datagram.sequence)
    named(out, b"sysUpTime", datagram.uptime)
    named(out, b"samplesInPacket", datagram.samples)
    if out.json:
        say(out, b',"samples":[')
    show_samples(out, datagram)
    if out.json:
        put_char(out, b"]")
    if datagram.samples:
        fault(out, b"fewer samples than their count")
    say(out, b"}\n" if out.json else b"endDatagram   =================================\n")


cdef enum Form:
    TEXT, JSON, LINES, PCAP


cdef class Printer:
    """Turns datagrams into bytes of one form: "text", "json", "csv" or "pcap" (pcapng of the sampled headers).

    `feed` appends, `take` hands over and empties; `faults` counts structures that did not fit, `samples` what the
    datagrams announced.
    """

    cdef Buffer out
    cdef Form form
    cdef Packets packets
    cdef uint8_t* upgraded                          # an older datagram, as version 5
    cdef readonly uint64_t samples

    def __cinit__(self, str form):
        memset(&self.out, 0, sizeof(Buffer))
        memset(&self.packets, 0, sizeof(Packets))
        self.upgraded = <uint8_t*>malloc(UPGRADED_BYTES)
        if self.upgraded == NULL:
            raise MemoryError
        self.form = {"text": TEXT, "json": JSON, "csv": LINES, "pcap": PCAP}[form]
        self.out.json = self.form == JSON
        if self.form == PCAP:
            begin_capture(&self.out)

    def __dealloc__(self):
        free(self.out.start)
        free(self.upgraded)

    @property
    def faults(self) -> int:
        return self.out.faults

    def __len__(self) -> int:
        """Bytes that `take` would hand over."""
        return self.out.at - self.out.start

    def feed(self, const uint8_t[::1] datagram, double now, str source, str local, bint recorded=True,
             bytes agent=None) -> bool | None:
        """Append one datagram that arrived at `now` (epoch seconds) from `source`; None when it is no sFlow.

        `local` is the local time as it shall be printed. With `agent` (a packed address) other agents' datagrams are
        left out: False.
        """
        cdef Datagram head
        cdef Arrival arrival
        cdef size_t length = datagram.shape[0], upgraded
        cdef bytes source_text = source.encode(), local_text = local.encode()
        cdef Opened opened = open_datagram(&head, &datagram[0], length) if length else NOT_SFLOW
        if opened == OTHER_VERSION:
            upgraded = upgrade(&datagram[0], length, self.upgraded)
            opened = open_datagram(&head, self.upgraded, upgraded) if upgraded else NOT_SFLOW
        if opened != ACCEPTED:
            return None
        if agent is not None and agent != (<const char*>&head.agent[1])[:(0, 4, 16)[head.agent[0]]]:
            return False
        if not 0 <= now < LATEST:
            now = 0
        arrival.seconds = <uint64_t>now
        arrival.microseconds = <uint32_t>((now - <double>arrival.seconds) * 1e6 + 0.5)
        if arrival.microseconds > 999999:
            arrival.seconds, arrival.microseconds = arrival.seconds + 1, 0
        arrival.version = be32(&datagram[0])
        arrival.recorded, arrival.source, arrival.local = recorded, source_text, local_text
        with nogil:
            self.samples += head.samples
            if self.form == LINES:
                show_lines(&self.out, &head)
            elif self.form == PCAP:
                write_packets(&self.out, &self.packets, &head, now)
            else:
                show_datagram(&self.out, &head, &arrival, length)
        if self.out.lost:
            raise MemoryError
        return True

    def take(self) -> bytes:
        """Everything since the last call."""
        if self.out.start == NULL:
            return b""
        made = self.out.start[:self.out.at - self.out.start]
        self.out.at = self.out.start
        return made
