"""Fair queueing (Nagle, RFC 970): what waits, waits in the queue of its agent, and of each queue one datagram is taken
in turn. What has no room is shed from the longest queue, the oldest first (McKenney, Stochastic fairness queueing,
1990, with queues by the agent's index in place of a hash).

So whoever sends little neither waits for nor loses anything to an agent that sends more than can be taken; what is shed
is counted, and missing in the sequence numbers of who sent too much. The kernel's queue knows no agents: it would make
everybody wait, and drop everybody's.

Agents that sent no more than one datagram so far share NEWCOMERS: whoever forges a new agent for each datagram has
one queue. Two agents whose indexes differ by a multiple of QUEUES - 1 share one, too.

A datagram that waits is copied once; its turn costs some ns, shedding one a look at all lengths (0.2 us), however many
agents there are. Memory: what waits, ROOM_BYTES at most.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from analytics.core.pipeline cimport Slice

cdef enum:
    QUEUES = 1024
    NEWCOMERS = 0                                   # the queue of those that have no index yet
    MOST = 64                                       # datagrams taken at a time

cdef struct Waiting:                                # the datagram itself follows
    Waiting* next
    uint32_t length
    bint has_sender
    uint8_t sender[16]

cdef struct Queue:
    Waiting* first
    Waiting* last


@cython.final                                       # so that its methods are called directly
cdef class FairQueue:
    cdef readonly uint32_t waiting                  # datagrams
    cdef readonly uint64_t shed
    cdef uint64_t bytes                             # of what waits
    cdef Queue[QUEUES] queues
    cdef uint32_t[QUEUES] lengths                   # bytes in each
    cdef uint16_t[QUEUES] turns                     # a ring of the queues that had something when their turn was given
    cdef uint8_t[QUEUES] has_turn
    cdef uint32_t next_turn, turn_count
    cdef Waiting* taken[MOST]
    cdef uint32_t taken_count

    cdef void put(self, const Slice* slice, uint32_t agent, uint32_t room) noexcept nogil
    cdef uint32_t take(self, Slice* slices, uint32_t most) noexcept nogil
    cdef void give_turn(self, uint32_t queue) noexcept nogil
    cdef Waiting* pop(self, uint32_t queue) noexcept nogil
    cdef uint32_t longest(self) noexcept nogil
    cdef void free_taken(self) noexcept nogil
