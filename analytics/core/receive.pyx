"""Receive datagrams and run them through the pipeline, without the GIL: the one native file that touches the world.

A thread enters `run` and stays in it: recvmmsg into a fixed ring of buffers, one clock reading per batch, one turn
of the pipeline's lock per batch. It comes out when the stop descriptor becomes readable or when something went
wrong. Datagrams the kernel dropped because the socket's buffer was full arrive as SO_RXQ_OVFL control messages and
are counted.
"""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from analytics.core.pipeline cimport Pipeline, Slice

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    #include <netinet/in.h>
    #include <poll.h>
    #include <time.h>

    #define SLOTS 64
    #define ROOM 65536

    typedef struct {
        struct mmsghdr messages[SLOTS];
        struct iovec vectors[SLOTS];
        struct sockaddr_in6 names[SLOTS];
        uint8_t controls[SLOTS][64];
        uint8_t senders[SLOTS][16];
        uint8_t data[SLOTS][ROOM];
    } howdah_ring;

    static int howdah_receive(howdah_ring *ring, int fd) {
        for (int i = 0; i < SLOTS; i++) {
            struct msghdr *m = &ring->messages[i].msg_hdr;
            ring->vectors[i].iov_base = ring->data[i];
            ring->vectors[i].iov_len = ROOM;
            m->msg_name = &ring->names[i];
            m->msg_namelen = sizeof ring->names[i];
            m->msg_iov = &ring->vectors[i];
            m->msg_iovlen = 1;
            m->msg_control = ring->controls[i];
            m->msg_controllen = sizeof ring->controls[i];
            m->msg_flags = 0;
        }
        return recvmmsg(fd, ring->messages, SLOTS, MSG_DONTWAIT, NULL);
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

    /* 1: datagrams may be waiting, 0: told to stop, -1: interrupted */
    static int howdah_wait(int fd, int stop) {
        struct pollfd polled[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
        if (poll(polled, 2, -1) < 0)
            return -1;
        return polled[1].revents ? 0 : 1;
    }

    static double howdah_clock(void) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        return t.tv_sec + t.tv_nsec * 1e-9;
    }
    """
    enum:
        SLOTS
    ctypedef struct mmsghdr:
        uint32_t msg_len
    ctypedef struct Ring "howdah_ring":
        mmsghdr* messages
        uint8_t senders[64][16]
        uint8_t data[64][65536]
    int receive "howdah_receive"(Ring*, int) noexcept nogil
    void name_sender "howdah_sender"(Ring*, int) noexcept nogil
    bint read_dropped "howdah_dropped"(Ring*, int, uint32_t*) noexcept nogil
    int wait "howdah_wait"(int, int) noexcept nogil
    double clock_s "howdah_clock"() noexcept nogil


cdef class Receiver:
    """Runs one socket. `batches`, `datagrams` and `dropped` (by the kernel) may be read at any time."""

    cdef Pipeline pipeline
    cdef Ring* ring
    cdef uint32_t overflow                          # the kernel's counter, 32 bits, as last seen
    cdef readonly uint64_t batches, datagrams, dropped

    def __cinit__(self, Pipeline pipeline):
        self.pipeline = pipeline
        self.ring = <Ring*>calloc(1, sizeof(Ring))
        if self.ring == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.ring)

    cdef int turn(self, int fd) noexcept nogil:
        """One batch; answers the number of datagrams, or -errno."""
        cdef Slice[64] slices
        cdef uint32_t dropped = 0
        cdef int i
        cdef int count = receive(self.ring, fd)
        cdef double now
        if count < 0:
            return -errno
        now = clock_s()
        for i in range(count):
            name_sender(self.ring, i)
            slices[i].at = &self.ring.data[i][0]
            slices[i].length = self.ring.messages[i].msg_len
            slices[i].sender = &self.ring.senders[i][0]
        if count and read_dropped(self.ring, count - 1, &dropped):
            self.dropped += <uint32_t>(dropped - self.overflow)
            self.overflow = dropped
        self.pipeline.acquire()
        self.pipeline.batch(slices, count, now)
        self.pipeline.release()
        self.batches += 1
        self.datagrams += count
        return count

    def run(self, int fd, int stop) -> None:
        """Receive from socket `fd` until descriptor `stop` is readable.

        Raises OSError when the socket fails, and what the pipeline's shell raised; it may be entered again after that.
        """
        cdef int result = 0
        cdef int ready
        with nogil:
            while self.pipeline.failure is None:
                ready = wait(fd, stop)
                if ready == 0:
                    break
                result = self.turn(fd) if ready > 0 else 0
                if result < 0 and -result not in (EAGAIN, EINTR, ECONNREFUSED):
                    break
                result = 0
        if result < 0:
            errno = -result
            PyErr_SetFromErrno(OSError)
        self.pipeline.raise_failure()
