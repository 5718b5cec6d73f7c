"""Classic pcap records straight into the pipeline: a replay costs no Python per datagram.

A chunk of the file is walked without the GIL: record header, frame, carrier (Ethernet with VLAN tags, Linux cooked,
raw IP, loopback; IPv4, or IPv6 with extension headers), UDP, port. What is found is fed in batches that span at most
a millisecond of capture time, so rates decay by the times of the capture.

    record   seconds 4 | fraction 4 | captured 4 | original 4 | bytes

inputs/capture.py reads the same formats (and pcapng) datagram by datagram, for those who want to see them.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.pipeline cimport Pipeline, Slice
from analytics.core.wire.extensions cimport FRAGMENT, MOST_EXTENSIONS, extension_length, is_extension

cdef enum:
    BATCH = 128
    MAX_PACKET = 1 << 18                            # larger than any link's packets: the file is malformed

cdef double SPAN_S = 0.001


cdef struct Carrier:                                # what is in front of the IP packet
    uint32_t skip                                   # bytes before the protocol field, or before the packet
    bint typed                                      # an Ethernet type is there
    bint led                                        # it is in front of everything (Linux cooked v2)


cdef inline uint32_t word(const uint8_t* at, bint big) noexcept nogil:
    if big:
        return <uint32_t>at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]
    return <uint32_t>at[3] << 24 | at[2] << 16 | at[1] << 8 | at[0]


cdef inline uint16_t half(const uint8_t* at) noexcept nogil:
    return at[0] << 8 | at[1]


cdef bint network(const uint8_t** at, size_t* left, const Carrier* carrier) noexcept nogil:
    """Move from the frame to its IP packet; 0 if it carries none."""
    cdef uint32_t skip = carrier.skip
    cdef uint16_t kind
    if left[0] < skip + 2:
        return 0
    if carrier.typed:
        kind = half(at[0] + skip)
        while kind in (0x8100, 0x88A8, 0x9100, 0x9200):
            skip += 4
            if left[0] < skip + 2:
                return 0
            kind = half(at[0] + skip)
        if kind != 0x0800 and kind != 0x86DD:
            return 0
        skip += 2
    elif carrier.led and half(at[0]) not in (0x0800, 0x86DD):
        return 0
    at[0] += skip
    left[0] -= skip
    return 1


cdef bint transport(const uint8_t** at, size_t* left, uint8_t* sender) noexcept nogil:
    """Move from the IP packet to its UDP header and note the source; 0 for fragments and other protocols."""
    cdef size_t header
    cdef uint8_t protocol, following
    cdef int extensions = 0
    if left[0] < 20:
        return 0
    if at[0][0] >> 4 == 4:
        header = (at[0][0] & 0xF) * 4
        protocol = at[0][9]
        if half(at[0] + 6) & 0x3FFF or header < 20:
            return 0
        memset(sender, 0, 10)
        memset(sender + 10, 0xFF, 2)
        memcpy(sender + 12, at[0] + 12, 4)
    elif at[0][0] >> 4 == 6 and left[0] >= 40:
        header = 40
        protocol = at[0][6]
        memcpy(sender, at[0] + 8, 16)
        while (is_extension(protocol) and protocol != FRAGMENT and extensions < MOST_EXTENSIONS
               and left[0] >= header + 8):
            following = at[0][header]
            header += extension_length(protocol, at[0] + header)
            protocol = following
            extensions += 1
    else:
        return 0
    if protocol != 17 or left[0] < header + 8:
        return 0
    at[0] += header
    left[0] -= header
    return 1


cdef Carrier carrier_of(uint32_t link):
    if link == 1:
        return Carrier(12, 1, 0)
    if link == 113:
        return Carrier(14, 1, 0)
    if link == 276:
        return Carrier(20, 0, 1)
    if link in (0, 108):
        return Carrier(4, 0, 0)
    return Carrier(0, 0, 0)


def play(Pipeline pipeline, const uint8_t[::1] chunk, bint big_endian, double fraction, uint32_t link,
         uint16_t port, double until) -> tuple[int, int, float]:
    """Feed the whole records of a chunk up to the first datagram at or after the capture time `until`.

    `fraction`: seconds per unit of a record's second time field (1e-6 or 1e-9). The chunk begins with a record.
    Answers (bytes used, datagrams fed, time of the datagram that has to wait or 0.0); the bytes are -1 - the offset of
    a record that cannot be one.
    """
    cdef Carrier carrier = carrier_of(link)
    cdef Slice[BATCH] slices
    cdef uint8_t[BATCH][16] senders
    cdef uint32_t count = 0
    cdef uint64_t fed = 0
    cdef size_t at = 0, length, left
    cdef size_t size = chunk.shape[0]
    cdef const uint8_t* frame
    cdef double now = 0.0, first = 0.0, waiting = 0.0
    cdef bint malformed = 0
    if size == 0:
        return 0, 0, 0.0
    with nogil:
        while at + 16 <= size:
            frame = &chunk[at]
            length = word(frame + 8, big_endian)
            if length > MAX_PACKET:
                malformed = 1
                break
            if at + 16 + length > size:
                break
            now = word(frame, big_endian) + word(frame + 4, big_endian) * fraction
            frame += 16
            left = length
            if not (network(&frame, &left, &carrier) and transport(&frame, &left, &senders[count][0])
                    and half(frame + 2) == port):
                at += 16 + length
                continue
            if now >= until:
                waiting = now
                break
            at += 16 + length
            fed += 1
            if count and now - first > SPAN_S:      # the sender just noted belongs to the next batch
                flush(pipeline, slices, count, first)
                memcpy(&senders[0][0], &senders[count][0], 16)
                count = 0
            if count == 0:
                first = now
            length = half(frame + 4)
            slices[count] = Slice(frame + 8, (length if 8 <= length < left else left) - 8, &senders[count][0])
            count += 1
            if count == BATCH:
                flush(pipeline, slices, count, first)
                count = 0
        if count:
            flush(pipeline, slices, count, first)
    pipeline.raise_failure()
    return -1 - <long>at if malformed else at, fed, waiting


cdef void flush(Pipeline pipeline, const Slice* slices, uint32_t count, double now) noexcept nogil:
    pipeline.acquire()
    pipeline.batch(slices, count, now)
    pipeline.release()
