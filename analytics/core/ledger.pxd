"""The senders: agents, their sub-agents and data sources, and what of theirs was lost, duplicate or out of order."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from analytics.core.wire.sflow cimport Datagram
from analytics.core.flows.table cimport HashTable

cdef enum:
    NO_INDEX = 0xFFFFFFFF                           # in place of an index: a table is full
    MOST_SENDERS = 8                                # sender addresses remembered per agent
    MOST_RECENT = 256                               # data sources looked up lately
    NEAR = 64                                       # how far back an arrival is out of order

cdef enum Order:
    IN_ORDER                                        # also after a gap
    OUT_OF_ORDER
    DUPLICATE

cdef enum:                                          # streams: what has sequence numbers of its own
    OF_DATAGRAMS
    OF_FLOWS
    OF_COUNTERS
    OF_DISCARDS
    STREAMS

cdef enum:
    NAMED = 0xFFFFFFFE                              # class of data sources that have names instead of numbers

cdef struct Tally:                                  # cumulative counters of one kind of sequenced thing
    uint64_t received, lost, out_of_order, duplicate, restarts

cdef struct Sequence:
    uint32_t last
    uint32_t uptime                                 # datagrams only, ms
    uint32_t epoch                                  # grows when the sub-agent restarts; its samples then start anew
    uint32_t drops                                  # flow samples, discards: the agent's own count of what it dropped
    uint64_t fingerprint                            # datagrams only: of two with one number, are they the same?
    uint64_t window                                 # bit n: `last - n` has been seen

cdef struct Agent:
    uint64_t address[3]
    double first_seen, last_seen
    uint32_t uptime
    uint32_t senders
    uint8_t sender[MOST_SENDERS][16]                # IPv4 as ::ffff:a.b.c.d
    uint64_t bytes, faults, skipped
    uint64_t drops[STREAMS]                         # by stream: what the agent itself says that it dropped
    Tally datagrams
    Tally samples[STREAMS]                          # by stream
    uint32_t sources[STREAMS]

cdef struct Source:
    uint32_t agent, kind, index                     # kind = class of the sFlow source id; 0: an ifIndex
    double last_flow, last_counter

cdef struct Recent:                                 # a data source looked up lately
    uint32_t agent, kind, index, source

cdef struct Found:
    uint64_t key[3]
    uint64_t generation                             # of the table, when it was there
    Sequence* sequence                              # NULL: none yet

cdef class Ledger:
    cdef HashTable agent_of, source_of, sequence_of
    cdef Agent* agents
    cdef Source* sources
    cdef uint32_t agent_count, source_count, agent_capacity, source_capacity
    cdef Recent recent[MOST_RECENT]                 # by the low bits of index
    cdef Found found[STREAMS]                       # by stream: the sequence looked up last
    cdef list names                                 # of data sources of class NAMED, by index
    cdef dict named                                 # name -> index
    cdef uint32_t latest                            # the agent of the last datagram, mostly also of the next

    cdef uint32_t agent(self, const uint64_t* address, double now) noexcept nogil
    cdef uint32_t source(self, uint32_t agent, uint32_t kind, uint32_t index) noexcept nogil
    cdef uint32_t source_index(self, uint32_t agent, uint32_t kind, uint32_t index) noexcept nogil
    cdef Sequence* sequence(self, uint32_t agent, uint32_t sub_agent, uint32_t stream, uint32_t kind, uint32_t index,
                            bint* fresh) noexcept nogil
    cdef Order datagram(self, uint32_t agent, const Datagram* datagram, const uint8_t* sender,
                        uint32_t* epoch) noexcept nogil
    cdef Order sample(self, uint32_t agent, const Datagram* datagram, uint32_t epoch, uint32_t kind, uint32_t index,
                      uint32_t sequence, uint32_t drops, uint32_t stream) noexcept nogil
    cdef uint32_t named_source(self, uint32_t agent, str name)
