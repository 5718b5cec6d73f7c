"""Send sFlow datagrams as fast as the kernel takes them, or at a rate: the load of `howdah bench ingest`.

The datagrams are joined once and sent round after round with sendmmsg, without the GIL. Before each one goes, its
sequence number, its uptime and the sequence numbers of its samples are written anew, each counting on in its own
stream as at a real agent's: an engine drops what it has seen before. Everything else stays as it was given, so totals
that agents keep (counters, sample pools, drops) go back at the start of every round.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strerror

from analytics.core.wire.sflow cimport (
    ACCEPTED, COUNTERS, DISCARD, END, FLOW, CounterSample, Datagram, FlowSample, SampleKind, next_sample, open_datagram,
)
from analytics.core.wire.xdr cimport swap32

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <sys/prctl.h>
    #include <time.h>

    static double howdah_elapsed(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec + t.tv_nsec * 1e-9;
    }

    static void howdah_sleep(double seconds) {
        struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    }

    /* Wake up when asked, not up to 50 us later; of the calling thread */
    static void howdah_be_punctual(void) {
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    }
    """
    ctypedef struct iovec "struct iovec":
        void* iov_base
        size_t iov_len
    ctypedef struct msghdr "struct msghdr":
        iovec* msg_iov
        size_t msg_iovlen
    ctypedef struct mmsghdr "struct mmsghdr":
        msghdr msg_hdr
    int sendmmsg(int, mmsghdr*, unsigned int, int) noexcept nogil
    double monotonic_s "howdah_elapsed"() noexcept nogil
    void sleep_s "howdah_sleep"(double) noexcept nogil
    void be_punctual "howdah_be_punctual"() noexcept nogil

cdef enum:
    BATCH = 64                                      # datagrams of one sendmmsg
    PACED = 32                                      # at a rate: most datagrams that wait for the thread to wake up

cdef double NAP_S = 0.001                           # at a rate: most that a datagram waits, if there are so few
cdef double MOST_LAG_S = 0.01                       # at a rate: what is missed by more is not made up for


cdef struct SequenceField:                          # a sequence number in the datagrams
    uint8_t* at
    uint32_t stream                                 # whose next number goes there


cdef class Sender:
    """Datagrams to be sent, from first to last and again. ValueError: one is no sFlow v5, or there are none.

    `datagrams` and `samples` (flow, counter and discard samples) were handed to the kernel so far.
    """

    cdef bytearray data
    cdef mmsghdr* messages
    cdef iovec* vectors
    cdef uint8_t** uptimes
    cdef uint32_t* first                            # per datagram: its first sequence number; one more at the end
    cdef SequenceField* sequence_fields
    cdef uint32_t* streams                          # the last number of each
    cdef uint32_t count, field_count, next
    cdef double started
    cdef readonly uint64_t datagrams, samples

    def __cinit__(self, list datagrams):
        cdef size_t offset = 0
        cdef uint32_t capacity = sum(len(datagram) // 8 + 1 for datagram in datagrams)  # a sample has 8 bytes or more
        self.count = len(datagrams)
        self.started = monotonic_s()
        if not self.count:
            raise ValueError("no datagrams to send")
        self.messages = <mmsghdr*>calloc(self.count, sizeof(mmsghdr))
        self.vectors = <iovec*>calloc(self.count, sizeof(iovec))
        self.uptimes = <uint8_t**>calloc(self.count, sizeof(uint8_t*))
        self.first = <uint32_t*>calloc(self.count + 1, sizeof(uint32_t))
        self.sequence_fields = <SequenceField*>calloc(capacity, sizeof(SequenceField))
        if not (self.messages and self.vectors and self.uptimes and self.first and self.sequence_fields):
            raise MemoryError
        self.data = bytearray(b"".join(datagrams))
        known = {}
        for number, datagram in enumerate(datagrams):
            self.index_datagram(number, <uint8_t*>PyByteArray_AS_STRING(self.data) + offset, len(datagram), known)
            offset += len(datagram)
        self.streams = <uint32_t*>calloc(len(known), sizeof(uint32_t))
        if self.streams == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.messages)
        free(self.vectors)
        free(self.uptimes)
        free(self.first)
        free(self.sequence_fields)
        free(self.streams)

    cdef int index_datagram(self, uint32_t number, uint8_t* at, size_t length, dict known) except -1:
        """Note where a datagram's sequence numbers are. `known`: stream -> its index."""
        cdef Datagram head
        cdef FlowSample flow
        cdef CounterSample counters
        cdef SampleKind kind
        cdef uint8_t* sample
        if open_datagram(&head, at, length) != ACCEPTED:
            raise ValueError(f"datagram {number + 1} is no sFlow version 5")
        agent = (<const char*>head.agent)[:24], head.sub_agent
        self.vectors[number] = iovec(at, length)
        self.messages[number].msg_hdr.msg_iov = &self.vectors[number]
        self.messages[number].msg_hdr.msg_iovlen = 1
        self.uptimes[number] = <uint8_t*>head.rest.at - 8
        self.add_field(<uint8_t*>head.rest.at - 12, agent, known)
        while True:
            sample = <uint8_t*>head.rest.at
            kind = next_sample(&head, &flow, &counters)
            if kind == END:
                break
            if kind == COUNTERS:
                self.add_field(sample + 8, (agent, <int>kind, counters.source_class, counters.source_index), known)
            elif kind == FLOW or kind == DISCARD:
                self.add_field(sample + 8, (agent, <int>kind, flow.source_class, flow.source_index), known)
        self.first[number + 1] = self.field_count
        return 0

    cdef int add_field(self, uint8_t* at, object stream, dict known) except -1:
        self.sequence_fields[self.field_count] = SequenceField(at, known.setdefault(stream, len(known)))
        self.field_count += 1
        return 0

    cdef uint32_t number(self, uint32_t start, uint32_t count, uint32_t uptime) noexcept nogil:
        """Give datagrams their numbers; answers how many samples they have."""
        cdef uint32_t i, word
        cdef SequenceField* field
        for i in range(start, start + count):
            word = swap32(uptime)
            memcpy(self.uptimes[i], &word, 4)
        for i in range(self.first[start], self.first[start + count]):
            field = &self.sequence_fields[i]
            self.streams[field.stream] += 1
            word = swap32(self.streams[field.stream])
            memcpy(field.at, &word, 4)
        return self.first[start + count] - self.first[start] - count

    def run(self, int fd, double seconds, double rate=0.0, uint64_t most=0) -> float:
        """Send on a connected blocking socket for a time, at `rate` datagrams/s (0: as fast as it goes), at most
        `most` datagrams (0: no bound). Answers the seconds it took. OSError: the kernel refused, or none listens.
        """
        cdef double began = monotonic_s(), now = began, started = began
        cdef double due, wanted = min(max(rate * NAP_S, 1.0), <double>PACED)
        cdef uint64_t sent = 0, left = most if most else <uint64_t>-1
        cdef uint32_t count
        cdef int result = 0
        with nogil:
            be_punctual()
            while now - began < seconds and left:
                count = BATCH
                if rate:
                    if (now - started) * rate - sent > MOST_LAG_S * rate + BATCH:
                        started = now - sent / rate  # the thread was kept from running: no burst afterwards
                    due = (now - started) * rate - sent
                    if due < wanted and due < left:
                        sleep_s(min((wanted - due) / rate, MOST_LAG_S))
                        now = monotonic_s()
                        continue
                    count = <uint32_t>min(due, <double>BATCH)
                count = <uint32_t>min(<uint64_t>min(count, self.count - self.next), left)
                self.samples += self.number(self.next, count, <uint32_t>((now - self.started) * 1000))
                result = self.send(fd, count)
                if result < 0:
                    break
                sent += count
                left -= count
                now = monotonic_s()
        if result < 0:
            raise OSError(-result, strerror(-result).decode())
        return now - began

    cdef int send(self, int fd, uint32_t count) noexcept nogil:
        """The next datagrams, all of them; 0, or -errno."""
        cdef uint32_t done = 0
        cdef int sent
        while done < count:
            sent = sendmmsg(fd, self.messages + self.next + done, count - done, 0)
            if sent < 0:
                if errno == EINTR:
                    continue
                return -errno
            done += sent
        self.next = (self.next + count) % self.count
        self.datagrams += count
        return 0
