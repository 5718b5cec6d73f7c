"""What computed keys became (keyids.pyx)."""

cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from analytics.core.seenonce cimport SeenOnce
from analytics.core.table cimport HashTable, find

cdef struct KeyId:                                  # the payload of a computed key
    uint32_t number                                 # 0: rejected
    uint16_t names                                  # KeyIds.names when it was computed
    uint16_t unused                                 # sweeps since it was used


@cython.final
cdef class KeyIds:
    cdef HashTable table                            # computed (raw) fields -> KeyId
    cdef HashTable uses                             # key id -> how many entries and computed keys have it
    cdef uint32_t* idle                             # key ids that nothing had at some time, in order
    cdef uint32_t idle_count, idle_capacity
    cdef uint16_t names                             # grows when names change: what was computed before is void
    cdef SeenOnce newcomers                         # raw fields that came when too many were new
    cdef bint pressed                               # some did since the last sweep

    cdef void hold(self, uint32_t key_id) noexcept nogil
    cdef void let_go(self, uint32_t key_id) noexcept nogil
    cdef void remember(self, const uint64_t* computed, uint64_t hash, uint32_t key_id) noexcept nogil
    cdef bint came_before(self, uint64_t hash) noexcept nogil
    cdef uint64_t bytes(self) noexcept nogil


cdef inline KeyId* key_id_of(KeyIds ids, const uint64_t* computed, uint64_t hash) noexcept nogil:
    """What computed (raw) fields became; NULL: never seen, or the names have changed."""
    cdef KeyId* found = <KeyId*>find(&ids.table, computed, hash)
    if found == NULL or found.names != ids.names:
        return NULL
    found.unused = 0
    return found
