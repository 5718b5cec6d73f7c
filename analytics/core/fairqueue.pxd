"""Fair queueing among agents (Nagle, RFC 970): a batch of datagrams is taken in rounds, of each agent one in a round.

So whoever sends few datagrams waits for the batch before, never for what somebody else sent in the same one. And when
batches that stand (full ones, there when the one before was done) go on for STANDING_S, more comes than can be taken:
then no agent has more than `share` datagrams of one, half as many with each HALVING_S that it goes on (but LEAST_SHARE
at least: who sends little loses nothing), twice as many with each RECOVERY_S after its end. What is shed so is counted
by the caller, and missing in the sequence numbers of the agent that sent too much; the kernel, whose queue knows no
agents, would have dropped everybody's, late.

An agent is known by the address in its datagrams. Whoever forges a new one for each datagram has a share for each: only
a list of allowed senders (receive.pyx) helps then. Costs some ns per datagram of a batch of more than FEW, and a fixed
table, however many agents there are.
"""

cimport cython
from libc.stdint cimport uint32_t

from analytics.core.pipeline cimport Slice

cdef enum:
    MOST = 64                                       # datagrams in a batch


@cython.final                                       # so that its methods are called directly
cdef class FairQueue:
    cdef readonly uint32_t share
    cdef bint stood                                 # the last batch
    cdef double since                               # when that began, or when the share changed

    cdef uint32_t arrange(self, Slice* slices, uint32_t count, bint stands, double now) noexcept nogil
    cdef void adapt(self, bint stands, double now) noexcept nogil
