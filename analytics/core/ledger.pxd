"""The senders: agents, their sub-agents and data sources, and what of theirs was lost, duplicate or out of order.

What they have an index for, and when it is another's: ledger.pyx.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from analytics.core.wire.sflow cimport Datagram
from analytics.core.seenonce cimport SeenOnce
from analytics.core.table cimport HashTable

cdef enum:
    NO_INDEX = 0xFFFFFFFF                           # in place of an index: a table is full, or it is a newcomer
    MOST_SENDERS = 8                                # sender addresses remembered per agent
    MOST_RECENT = 256                               # data sources looked up lately
    MOST_FRESH = 8192                               # data sources that Python does not know yet
    NEAR = 64                                       # how far back an arrival is out of order

cdef enum Life:                                     # of an index
    FREE
    LIVE
    GONE                                            # its owner is forgotten; what has the index may still be there

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
    WHOLE = 0xFFFFFFFD                              # class of the one that stands for all data sources of an agent

cdef struct Tally:                                  # cumulative counters of one kind of sequenced thing
    uint64_t received, lost, out_of_order, duplicate, restarts

cdef struct Sequence:
    uint32_t last
    uint32_t uptime                                 # datagrams only, ms
    uint32_t drops                                  # flow samples, discards: the agent's own count of what it dropped
    uint16_t epoch                                  # grows when the sub-agent restarts; its samples then start anew
    uint16_t unused                                 # sweeps since it was used
    uint64_t fingerprint                            # datagrams only: of two with one number, are they the same?
    uint64_t window                                 # bit n: `last - n` has been seen

cdef struct Agent:
    uint64_t address[3]                             # 0: it has no owner
    double first_seen, last_seen
    Life life
    uint32_t serial                                 # of the owner: no two have the same
    uint32_t live                                   # data sources
    bint repeated                                   # it sent more than one datagram
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
    uint8_t life                                    # a Life
    uint8_t announced                               # Python knows it
    uint64_t samples
    double first_seen, last_flow, last_counter

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
    cdef uint32_t agent_count, source_count         # indexes that are or were used
    cdef uint32_t agent_capacity, source_capacity
    cdef uint32_t free_agent, free_source           # no lower index is free
    cdef uint32_t live_agents, live_sources, most_agents, most_sources
    cdef uint32_t new_agents, new_sources           # seen once so far
    cdef SeenOnce agents_seen, sources_seen
    cdef uint32_t serial
    cdef uint32_t* fresh                            # data sources that Python does not know yet
    cdef uint32_t fresh_count
    cdef uint64_t fewest                            # datagrams of an agent that stays when there are too many
    cdef uint64_t fewest_samples                    # the same for data sources
    cdef readonly uint64_t agents_refused, sources_refused
    cdef Recent recent[MOST_RECENT]                 # by the low bits of index
    cdef Found found[STREAMS]                       # by stream: the sequence looked up last
    cdef list names                                 # of data sources of class NAMED, by index; None: free
    cdef dict named                                 # name -> index
    cdef list name_uses                             # by index: data sources that have the name
    cdef readonly list gone_agents, gone_sources    # indexes in the state GONE, oldest first
    cdef uint32_t latest                            # the agent of the last datagram, mostly also of the next

    cdef uint32_t agent(self, const uint64_t* address, double now) noexcept nogil
    cdef uint32_t known_agent(self, const uint64_t* address) noexcept nogil
    cdef uint32_t source(self, uint32_t agent, uint32_t kind, uint32_t index, double now) noexcept nogil
    cdef uint32_t whole_agent(self, uint32_t agent, double now) noexcept nogil
    cdef uint32_t source_index(self, uint32_t agent, uint32_t kind, uint32_t index, double now) noexcept nogil
    cdef Sequence* sequence(self, uint32_t agent, uint32_t sub_agent, uint32_t stream, uint32_t kind, uint32_t index,
                            bint* fresh) noexcept nogil
    cdef uint32_t new_agent(self, const uint64_t* address, uint64_t hash, double now) noexcept nogil
    cdef uint32_t new_source(self, const uint64_t* key, uint64_t hash, uint32_t agent, uint32_t kind, uint32_t index,
                             double now) noexcept nogil
    cdef bint agent_is_over(self, const Agent* agent, double now) noexcept nogil
    cdef bint source_is_over(self, const Source* source, double now) noexcept nogil
    cdef void drop_agent(self, uint32_t agent) noexcept
    cdef void drop_source(self, uint32_t source) noexcept
    cdef void note_fewest(self) noexcept
    cdef void trim(self) noexcept
    cdef bint is_of_agent(self, const uint64_t* cell) noexcept nogil
    cdef Order datagram(self, uint32_t agent, const Datagram* datagram, const uint8_t* sender,
                        uint16_t* epoch) noexcept nogil
    cdef Order sample(self, uint32_t agent, const Datagram* datagram, uint16_t epoch, uint32_t kind, uint32_t index,
                      uint32_t sequence, uint32_t drops, uint32_t stream) noexcept nogil
    cdef uint32_t named_source(self, uint32_t agent, str name, double now)
