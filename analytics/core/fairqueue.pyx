"""What waits and whose turn it is; declared (and explained) in fairqueue.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from analytics.core.ledger cimport NO_INDEX
from analytics.core.pipeline cimport Slice

cdef enum:
    ROOM_BYTES = 1 << 24                            # with their heads, all that wait


cdef inline uint32_t size_of(const Waiting* it) noexcept nogil:
    return <uint32_t>sizeof(Waiting) + it.length


cdef class FairQueue:
    """Of one socket. `waiting` datagrams have not been taken yet; `shed` never will be."""

    def __dealloc__(self):
        cdef uint32_t queue
        self.free_taken()
        for queue in range(QUEUES):
            while self.queues[queue].first != NULL:
                free(self.pop(queue))

    def add(self, datagram: bytes, agent: int | None, uint32_t room) -> None:
        """Have a datagram of an agent (its index; None: a newcomer) wait; at most `room` of all wait then."""
        cdef Slice slice = Slice(<const uint8_t*>PyBytes_AS_STRING(datagram), PyBytes_GET_SIZE(datagram), NULL)
        self.put(&slice, NO_INDEX if agent is None else agent, room)

    def next(self, uint32_t most) -> list[bytes]:
        """The datagrams whose turn it is. ValueError: more than MOST are asked for."""
        cdef Slice[MOST] slices
        cdef uint32_t i
        if most > MOST:
            raise ValueError(f"at most {MOST} datagrams are taken at a time")
        return [(<const char*>slices[i].at)[:slices[i].length] for i in range(self.take(slices, most))]

    cdef void put(self, const Slice* slice, uint32_t agent, uint32_t room) noexcept nogil:
        """Copy a datagram to the end of its agent's queue, and shed what is more than `room`, or finds no memory."""
        cdef uint32_t queue = NEWCOMERS if agent == NO_INDEX else 1 + agent % (QUEUES - 1)
        cdef Waiting* it = <Waiting*>malloc(sizeof(Waiting) + slice.length)
        if it == NULL:
            self.shed += 1
            return
        it.next, it.length, it.has_sender = NULL, <uint32_t>slice.length, slice.sender != NULL
        if it.has_sender:
            memcpy(it.sender, slice.sender, sizeof(it.sender))
        memcpy(it + 1, slice.at, slice.length)
        if self.queues[queue].first == NULL:
            self.queues[queue].first = it
        else:
            self.queues[queue].last.next = it
        self.queues[queue].last = it
        self.waiting += 1
        self.lengths[queue] += size_of(it)
        self.bytes += size_of(it)
        if not self.has_turn[queue]:
            self.give_turn(queue)
        while self.waiting > room or self.bytes > ROOM_BYTES:
            free(self.pop(self.longest()))
            self.shed += 1

    cdef uint32_t take(self, Slice* slices, uint32_t most) noexcept nogil:
        """The next datagrams, of each queue one in its turn; answers how many. They are there until the next call."""
        cdef uint32_t queue, count = 0
        cdef Waiting* it
        self.free_taken()
        while count < most and self.turn_count:
            queue = self.turns[self.next_turn]
            self.next_turn = (self.next_turn + 1) % QUEUES
            self.turn_count -= 1
            self.has_turn[queue] = 0
            if self.queues[queue].first == NULL:    # all that it had was shed
                continue
            it = self.taken[count] = self.pop(queue)
            slices[count] = Slice(<const uint8_t*>(it + 1), it.length, NULL)
            if it.has_sender:
                slices[count].sender = it.sender
            count += 1
            if self.queues[queue].first != NULL:
                self.give_turn(queue)
        self.taken_count = count
        return count

    cdef void give_turn(self, uint32_t queue) noexcept nogil:
        """Have a queue be the last whose turn it is."""
        self.has_turn[queue] = 1
        self.turns[(self.next_turn + self.turn_count) % QUEUES] = <uint16_t>queue
        self.turn_count += 1

    cdef Waiting* pop(self, uint32_t queue) noexcept nogil:
        """The oldest of a queue that is not empty."""
        cdef Waiting* it = self.queues[queue].first
        self.queues[queue].first = it.next
        self.waiting -= 1
        self.lengths[queue] -= size_of(it)
        self.bytes -= size_of(it)
        return it

    cdef uint32_t longest(self) noexcept nogil:
        cdef uint32_t queue, length = 0
        for queue in range(QUEUES):                 # two loops that the compiler makes vector instructions of
            length = max(length, self.lengths[queue])
        for queue in range(QUEUES):
            if self.lengths[queue] == length:
                return queue
        return 0

    cdef void free_taken(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.taken_count):
            free(self.taken[i])
        self.taken_count = 0
