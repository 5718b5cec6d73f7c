"""The order of a batch and what is shed of it; declared (and explained) in fairqueue.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.pipeline cimport Slice
from analytics.core.wire.xdr cimport be32

cdef double STANDING_S = 0.25                       # long for a burst, short for the socket's buffer;
cdef double HALVING_S = 0.05                        # once something is shed what stands is no burst
cdef double RECOVERY_S = 0.1
cdef enum:
    FEW = 8                                         # datagrams that are taken as they came: nobody waits long
    LEAST_SHARE = 4                                 # of whom a sixteenth of all comes, or less, nothing is shed
    PLACES = 2 * MOST                               # of the table, a power of two
    IPV6 = 2                                        # the type of an agent's address
    ADDRESS = 8                                     # where it stands in a datagram, after version and type


cdef inline uint64_t agent_of(const Slice* slice) noexcept nogil:
    """The agent's address, folded: two that fold to the same share what one has. What is too short is of one agent."""
    cdef uint64_t[2] address = [0, 0]
    cdef size_t length
    if slice.length < ADDRESS:
        return 0
    length = 16 if be32(slice.at + 4) == IPV6 else 4
    if slice.length >= ADDRESS + length:
        memcpy(address, slice.at + ADDRESS, length)
    return address[0] ^ address[1] * 0x9E3779B97F4A7C15ULL


cdef class FairQueue:
    """Of one socket. `share`: datagrams of a standing batch that an agent may have; MOST: nothing has to be shed."""

    def __cinit__(self):
        self.share = MOST

    def arranged(self, list datagrams, bint stands, double now) -> list[bytes]:
        """Of a batch those that are taken, in order. ValueError: there are more than MOST."""
        cdef Slice[MOST] slices
        cdef uint32_t i, taken
        if len(datagrams) > MOST:
            raise ValueError(f"a batch has at most {MOST} datagrams")
        for i in range(<uint32_t>len(datagrams)):
            datagram = datagrams[i]
            slices[i] = Slice(<const uint8_t*>PyBytes_AS_STRING(datagram), PyBytes_GET_SIZE(datagram), NULL)
        taken = self.arrange(slices, <uint32_t>len(datagrams), stands, now)
        return [(<const char*>slices[i].at)[:slices[i].length] for i in range(taken)]

    cdef void adapt(self, bint stands, double now) noexcept nogil:
        """The share, by whether more comes than is taken."""
        if stands != self.stood:
            self.stood, self.since = stands, now
        elif stands and now - self.since >= (STANDING_S if self.share == MOST else HALVING_S):
            self.share, self.since = max(<uint32_t>LEAST_SHARE, self.share // 2), now
        elif not stands and self.share < MOST and now - self.since >= RECOVERY_S:
            self.share, self.since = min(<uint32_t>MOST, 2 * self.share), now

    cdef uint32_t arrange(self, Slice* slices, uint32_t count, bint stands, double now) noexcept nogil:
        """Put a batch that arrived at `now` in order; answers how many of it are taken, the first ones.

        1. The round of each datagram is how many of its agent stand before it.
        2. Sort by rounds, stably, so that what one agent sent stays in order.
        3. If it `stands` (it is full, and waited for the one before to be done), the rounds beyond the share are shed.
        """
        cdef Slice[MOST] sorted
        cdef uint64_t[PLACES] agents
        cdef uint8_t[PLACES] seen                   # of the agent in a place; 0: the place is free
        cdef uint8_t[MOST] rounds
        cdef uint32_t[MOST + 1] before              # datagrams of the rounds before
        cdef uint64_t agent
        cdef uint32_t i, place, taken
        self.adapt(stands, now)
        if count <= FEW:
            return count
        memset(seen, 0, sizeof(seen))
        memset(before, 0, sizeof(before))
        for i in range(count):
            agent = agent_of(&slices[i])
            place = <uint32_t>(agent * 0x9E3779B97F4A7C15ULL >> 57) % PLACES
            while seen[place] and agents[place] != agent:
                place = (place + 1) % PLACES
            agents[place] = agent
            rounds[i] = seen[place]
            seen[place] += 1
            before[rounds[i] + 1] += 1
        for i in range(MOST):
            before[i + 1] += before[i]
        taken = before[self.share] if stands else count
        for i in range(count):
            sorted[before[rounds[i]]] = slices[i]
            before[rounds[i]] += 1
        memcpy(slices, sorted, count * sizeof(Slice))
        return taken
