"""Receive datagrams and run them through the pipeline, without the GIL: the only native file that uses the operating
system but for sender.pyx, which is the benchmark's.

A thread enters `run` and stays in it: recvmmsg into a fixed ring of buffers, one reading of the monotonic clock per
batch, one or a few turns of the pipeline's lock per batch. It comes out when the stop descriptor becomes readable or
when something went wrong. What the kernel dropped because the socket's buffer was full is reported by SO_RXQ_OVFL
control messages, with the next datagram that got through. Datagrams of senders that are not on the list, if there is
one, are counted and not read further.

While a batch takes BATCH_S or less and the socket becomes empty now and then, datagrams are taken as they come. When
more comes, all of it is moved from the socket to queues by agent, and taken by turns (fairqueue.pxd), so many at a time
as take BATCH_S: that is how long anybody waits for somebody else's. What is not done within BATCHES_WAITING of them is
shed. The time of a batch is the processor's, which does not go on while other programs run.
`Drain` is the same without pipeline: what the engine is measured against.
"""

from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strerror

from analytics.core.fairqueue cimport MOST, FairQueue
from analytics.core.pipeline cimport Pipeline, Slice
from analytics.core.staticassert cimport static_assert

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <string.h>
    #include <sys/socket.h>
    #include <netinet/in.h>
    #include <poll.h>
    #include <time.h>

    #define SLOTS 64
    #define DATAGRAM_BYTES 65536

    typedef struct {
        struct mmsghdr messages[SLOTS];
        struct iovec vectors[SLOTS];
        struct sockaddr_in6 names[SLOTS];
        uint8_t controls[SLOTS][64];
        uint8_t senders[SLOTS][16];
        uint8_t data[SLOTS][DATAGRAM_BYTES];
        int used;                                   /* slots whose lengths the kernel wrote over */
    } howdah_ring;

    /* Prepare the ring; without `details` it receives bytes only, neither senders nor the count of drops */
    static void howdah_init(howdah_ring *ring, int details) {
        for (int i = 0; i < SLOTS; i++) {
            struct msghdr *m = &ring->messages[i].msg_hdr;
            ring->vectors[i].iov_base = ring->data[i];
            ring->vectors[i].iov_len = DATAGRAM_BYTES;
            m->msg_iov = &ring->vectors[i];
            m->msg_iovlen = 1;
            m->msg_name = details ? &ring->names[i] : NULL;
            m->msg_control = details ? ring->controls[i] : NULL;
        }
        ring->used = details ? SLOTS : 0;
    }

    /* One batch; the lengths that the kernel wrote over last time are put right first */
    static int howdah_receive(howdah_ring *ring, int fd) {
        for (int i = 0; i < ring->used; i++) {
            ring->messages[i].msg_hdr.msg_namelen = sizeof ring->names[i];
            ring->messages[i].msg_hdr.msg_controllen = sizeof ring->controls[i];
        }
        int count = recvmmsg(fd, ring->messages, SLOTS, MSG_DONTWAIT, NULL);
        if (ring->messages[0].msg_hdr.msg_name)
            ring->used = count > 0 ? count : 0;
        return count;
    }

    /* The sender as 16 bytes, IPv4 as ::ffff:a.b.c.d */
    static void howdah_sender(howdah_ring *ring, int i) {
        struct sockaddr_in6 *name = &ring->names[i];
        if (name->sin6_family == AF_INET6) {
            memcpy(ring->senders[i], &name->sin6_addr, 16);
        } else {
            memset(ring->senders[i], 0, 10);
            memset(ring->senders[i] + 10, 0xff, 2);
            memcpy(ring->senders[i] + 12, &((struct sockaddr_in *)name)->sin_addr, 4);
        }
    }

    /* The socket's own count of dropped datagrams, if this message carries it */
    static int howdah_dropped(howdah_ring *ring, int i, uint32_t *dropped) {
        struct msghdr *m = &ring->messages[i].msg_hdr;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                memcpy(dropped, CMSG_DATA(c), 4);
                return 1;
            }
        return 0;
    }

    /* 1: datagrams may be there, 0: asked to stop, -1: interrupted; `waited`: there was nothing, and it may wait */
    static int howdah_wait(int fd, int stop, int may_wait, int *waited) {
        struct pollfd polled[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
        int ready = poll(polled, 2, 0);
        *waited = ready == 0 && may_wait;
        if (ready < 0 || (*waited && poll(polled, 2, -1) < 0))
            return -1;
        return polled[1].revents ? 0 : 1;
    }

    static double howdah_clock(clockid_t clock) {
        struct timespec t;
        clock_gettime(clock, &t);
        return t.tv_sec + t.tv_nsec * 1e-9;
    }

    /* Whether the first `bits` of two addresses are the same */
    static int howdah_matches(const uint8_t *a, const uint8_t *b, unsigned bits) {
        unsigned whole = bits / 8;
        if (memcmp(a, b, whole))
            return 0;
        return bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
    }
    """
    enum:
        SLOTS
        DATAGRAM_BYTES
    ctypedef struct mmsghdr:
        uint32_t msg_len
    ctypedef struct Ring "howdah_ring":
        mmsghdr* messages
        uint8_t senders[SLOTS][16]
        uint8_t data[SLOTS][DATAGRAM_BYTES]
    void init_ring "howdah_init"(Ring*, bint) noexcept nogil
    int receive "howdah_receive"(Ring*, int) noexcept nogil
    void name_sender "howdah_sender"(Ring*, int) noexcept nogil
    bint read_dropped "howdah_dropped"(Ring*, int, uint32_t*) noexcept nogil
    int wait "howdah_wait"(int, int, bint, bint*) noexcept nogil
    enum:
        CLOCK_MONOTONIC                             # a step of the wall clock changes no rate
        CLOCK_THREAD_CPUTIME_ID
    double clock_s "howdah_clock"(int) noexcept nogil
    bint matches "howdah_matches"(const uint8_t*, const uint8_t*, uint32_t) noexcept nogil

cdef double BATCH_S = 0.002
cdef double STANDING_S = 0.005                      # without an empty socket, until what is in it is sorted by agents
cdef enum:
    MOST_PREFIXES = 1024                            # tried one after the other for every datagram
    LEAST_AT_ONCE = 4                               # datagrams of a batch, however long they take
    DEPTH = 16                                      # rings read before the next batch: as many as one fills meanwhile
    BATCHES_WAITING = 125                           # a quarter of a second: long for a burst, and not too old

cdef struct Prefix:
    uint8_t address[16]                             # IPv4 as ::ffff:a.b.c.d
    uint32_t bits


cdef class Receiver:
    """Runs one socket. The counts may be read at any time; they go on when another socket is run.

    `senders`: (16-byte address, bits of it that count) of those that may send; none: any.
    `dropped`: by the kernel; `refused`: of other senders; `shed`: of agents that sent more than can be taken.
    """

    cdef Pipeline pipeline
    cdef FairQueue queue
    cdef Ring* ring
    cdef Prefix* prefixes
    cdef uint32_t prefix_count
    cdef uint32_t overflow                          # the socket's own count of drops, 32 bits, as last seen
    cdef uint32_t at_once                           # datagrams of a batch that takes BATCH_S, SLOTS at most
    cdef double emptied                             # when the socket was seen empty
    cdef readonly uint64_t batches, datagrams, dropped, refused

    def __cinit__(self, Pipeline pipeline, senders=()):
        if len(senders) > MOST_PREFIXES:
            raise ValueError(f"more than {MOST_PREFIXES} prefixes of senders")
        static_assert(SLOTS <= MOST)
        self.pipeline, self.queue, self.at_once = pipeline, FairQueue(), SLOTS
        self.ring = <Ring*>calloc(1, sizeof(Ring))
        self.prefixes = <Prefix*>calloc(len(senders) + 1, sizeof(Prefix))
        if self.ring == NULL or self.prefixes == NULL:
            raise MemoryError
        init_ring(self.ring, True)
        for address, bits in senders:
            if len(address) != 16 or not 0 <= bits <= 128:
                raise ValueError("a prefix is 16 bytes, and 0 to 128 of their bits")
            memcpy(self.prefixes[self.prefix_count].address, <const char*>address, 16)
            self.prefixes[self.prefix_count].bits = bits
            self.prefix_count += 1

    def __dealloc__(self):
        free(self.ring)
        free(self.prefixes)

    @property
    def shed(self) -> int:
        return self.queue.shed

    def new_socket(self) -> None:
        """Say before `run` that the socket is another one: its count of drops begins at 0."""
        self.overflow = 0

    cdef bint is_allowed(self, const uint8_t* sender) noexcept nogil:
        cdef uint32_t i
        for i in range(self.prefix_count):
            if matches(sender, self.prefixes[i].address, self.prefixes[i].bits):
                return 1
        return self.prefix_count == 0

    cdef int receive_some(self, int fd, Slice* slices, uint32_t* allowed) noexcept nogil:
        """What is in the socket, SLOTS at most: of allowed senders. Answers how many there were, or -errno."""
        cdef uint32_t dropped = 0
        cdef int i
        cdef int count = receive(self.ring, fd)
        allowed[0] = 0
        if count < 0:
            return -errno
        for i in range(count):
            name_sender(self.ring, i)
            if not self.is_allowed(&self.ring.senders[i][0]):
                continue
            slices[allowed[0]] = Slice(&self.ring.data[i][0], self.ring.messages[i].msg_len, &self.ring.senders[i][0])
            allowed[0] += 1
        if count and read_dropped(self.ring, count - 1, &dropped):
            self.dropped += <uint32_t>(dropped - self.overflow)
            self.overflow = dropped
        self.refused += count - allowed[0]
        return count

    cdef int receive_batch(self, int fd) noexcept nogil:
        """Take a batch of what waits, after all that came is sorted by agents in one turn of the lock; or what came, if
        it is not much. -errno: the socket failed."""
        cdef Slice[SLOTS] slices
        cdef uint32_t[SLOTS] agents
        cdef uint32_t allowed, i
        cdef int count, depth
        cdef double now = 0.0
        for depth in range(DEPTH):
            count = self.receive_some(fd, slices, &allowed)
            now = clock_s(CLOCK_MONOTONIC)
            if count < SLOTS:
                self.emptied = now
            if depth == 0:
                if not self.queue.waiting and allowed <= self.at_once and now - self.emptied < STANDING_S:
                    self.feed(slices, allowed, now)
                    return min(count, 0)
                self.pipeline.acquire()
            self.pipeline.find_agents(slices, allowed, agents)
            for i in range(allowed):
                self.queue.put(&slices[i], agents[i], BATCHES_WAITING * self.at_once)
            if count < SLOTS:
                break
        self.pipeline.release()
        self.feed(slices, self.queue.take(slices, self.at_once), now)
        return min(count, 0)

    cdef void take_waiting(self) noexcept nogil:
        """Take all that waits."""
        cdef Slice[SLOTS] slices
        while self.queue.waiting:
            self.feed(slices, self.queue.take(slices, self.at_once), clock_s(CLOCK_MONOTONIC))

    cdef void feed(self, const Slice* slices, uint32_t count, double now) noexcept nogil:
        """Run a batch through the pipeline, and learn how many the next may have."""
        cdef double began, took
        if not count:
            return
        began = clock_s(CLOCK_THREAD_CPUTIME_ID)
        self.pipeline.take(slices, count, now)
        took = clock_s(CLOCK_THREAD_CPUTIME_ID) - began
        if took > BATCH_S:
            self.at_once = max(<uint32_t>LEAST_AT_ONCE, self.at_once // 2)
        elif count == self.at_once and took < BATCH_S / 3:
            self.at_once = min(<uint32_t>SLOTS, 2 * self.at_once)
        self.batches += 1
        self.datagrams += count

    def run(self, int fd, int stop) -> None:
        """Receive from socket `fd` until descriptor `stop` is readable, then take what waits.

        Raises OSError when the socket fails, and what the pipeline's listener raised; it may be called again then.
        """
        cdef int result = 0
        cdef int ready
        cdef bint stopped = 0, waited
        while not stopped:                          # a failure may be of another socket's batch: then go on
            with nogil:
                while self.pipeline.failure is None:
                    ready = wait(fd, stop, not self.queue.waiting, &waited)
                    if ready == 0:
                        self.take_waiting()
                        stopped = 1
                        break
                    if waited:
                        self.emptied = clock_s(CLOCK_MONOTONIC)
                    result = self.receive_batch(fd) if ready > 0 else 0
                    if result < 0 and -result not in (EAGAIN, EINTR, ECONNREFUSED):
                        break
                    result = 0
            if result < 0:
                raise OSError(-result, strerror(-result).decode())
            self.pipeline.raise_failure()


cdef class Drain:
    """Reads a socket with the same buffers and throws everything away: the yardstick of `howdah bench ingest`."""

    cdef Ring* ring
    cdef readonly uint64_t datagrams

    def __cinit__(self):
        self.ring = <Ring*>calloc(1, sizeof(Ring))
        if self.ring == NULL:
            raise MemoryError
        init_ring(self.ring, False)

    def __dealloc__(self):
        free(self.ring)

    def run(self, int fd, int stop) -> None:
        """Receive from socket `fd` until descriptor `stop` is readable or at its end. OSError: the socket failed."""
        cdef int ready
        cdef int count
        cdef int failed = 0
        cdef bint waited
        with nogil:
            while not failed:
                ready = wait(fd, stop, True, &waited)
                if ready == 0:
                    break
                count = receive(self.ring, fd) if ready > 0 else 0
                if count >= 0:
                    self.datagrams += count
                elif errno not in (EAGAIN, EINTR, ECONNREFUSED):
                    failed = errno
        if failed:
            raise OSError(failed, strerror(failed).decode())
