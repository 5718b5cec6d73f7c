"""A bounded hash table of fixed-size cells: the one container of the hot path.

Extendible hashing: the upper bits of a hash choose a segment of at most LARGEST bytes, the lower ones a cell in it,
from where on it is looked for (open addressing, linear probing). A segment grows by doubling, then by dividing into
two, and shrinks the other way, so the longest step costs what one segment does, however many keys there are, and memory
follows the number of keys both ways. A cell is [hash 8][key 8*words][payload], so a lookup in a large table costs one
cache miss. Keys are whole 8-byte words (callers pad with zeros). Cells move when a segment changes its size or a
neighbour is removed: keep no pointer to a payload over an insert or a remove.

A walk goes segment by segment: `segment_at` a position (0 at first), then at `position_after` until that is 0. It may
be interrupted anywhere: it meets every key that was there all the time, once, if it passes over those whose hash is
below its position.

Nothing here takes the GIL; a full table or failed allocation answers NULL. A table is full at `capacity` keys or when
its segments would take more than `max_bytes`.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t howdah_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t fold "howdah_fold"(uint64_t, uint64_t) noexcept nogil
    void fetch "__builtin_prefetch"(const void*, int) noexcept nogil

cdef struct Segment:
    uint8_t* cells
    uint64_t mask                                   # number of cells - 1, a power of two less one
    uint64_t used
    uint32_t depth                                  # how many upper bits its hashes have in common

cdef struct HashTable:
    Segment** segments                              # by the `depth` upper bits of a hash; neighbours may be the same
    uint32_t depth
    uint32_t shift                                  # 63 - depth
    uint32_t words                                  # key width in 8-byte words
    uint32_t stride                                 # bytes of a cell
    uint32_t fill                                   # of 1024 cells, so many may be used
    uint64_t used
    uint64_t generation                             # how often cells may have moved: pointers from before are void
    uint64_t capacity, max_bytes                    # no more keys, no more bytes than these, ever
    uint64_t bytes                                  # of all segments
    uint64_t seed                                   # differs per process: senders cannot choose colliding keys


cdef inline uint64_t digest_of(uint64_t seed, const uint64_t* key, uint32_t words) noexcept nogil:
    """A hash that senders cannot foresee; never 0."""
    cdef uint64_t value = seed
    cdef uint32_t i = 0
    while i + 1 < words:                            # two words per multiplication; the seed hides the zero factors
        value = fold(value ^ key[i], seed ^ key[i + 1])
        i += 2
    if i < words:
        value = fold(value ^ key[i], 0x9E3779B97F4A7C15ULL)
    value = fold(value ^ 0xD6E8FEB86659FD93ULL, 0xA0761D6478BD642FULL)
    return value if value != 0 else 1               # 0 is an empty cell


cdef inline uint64_t digest(const HashTable* table, const uint64_t* key) noexcept nogil:
    return digest_of(table.seed, key, table.words)


cdef inline Segment* segment_at(const HashTable* table, uint64_t position) noexcept nogil:
    """The segment that holds a hash."""
    return table.segments[(position >> 1) >> table.shift]


cdef inline uint64_t position_after(const Segment* segment, uint64_t position) noexcept nogil:
    """Where the segment that holds a position ends; 0: it was the last."""
    cdef uint64_t size
    if segment.depth == 0:
        return 0
    size = <uint64_t>1 << (64 - segment.depth)
    return (position & ~(size - 1)) + size


cdef inline uint64_t* cell_of(const HashTable* table, const Segment* segment, uint64_t slot) noexcept nogil:
    """The cell in a slot: cell[0] is its hash (0: empty), the key starts at cell[1], the payload at cell[1 + words]."""
    return <uint64_t*>(segment.cells + slot * table.stride)


cdef inline uint8_t* payload_of(const HashTable* table, uint64_t* cell) noexcept nogil:
    return <uint8_t*>(cell + 1 + table.words)


cdef inline uint8_t* find(const HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil:
    """The payload behind a key, or NULL."""
    cdef const Segment* segment = segment_at(table, hash)
    cdef uint64_t slot = hash & segment.mask
    cdef uint64_t* cell
    cdef uint32_t i
    while True:
        cell = cell_of(table, segment, slot)
        if cell[0] == 0:
            return NULL
        if cell[0] == hash:
            for i in range(table.words):
                if cell[1 + i] != key[i]:
                    break
            else:
                return payload_of(table, cell)
        slot = (slot + 1) & segment.mask


cdef inline void fetch_cell(const HashTable* table, uint64_t hash) noexcept nogil:
    """Ask the memory for the cell that a key will probably be in, some time before it is looked up."""
    cdef const Segment* segment = segment_at(table, hash)
    cdef uint8_t* cell = segment.cells + (hash & segment.mask) * table.stride
    fetch(cell, 1)
    fetch(cell + table.stride - 1, 1)               # a cell may cross into the next cache line


cdef bint table_open(HashTable* table, uint32_t words, uint32_t payload, uint64_t capacity, uint64_t max_bytes,
                     uint64_t seed) noexcept nogil
cdef void table_close(HashTable* table) noexcept nogil
cdef uint8_t* insert(HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil
cdef void remove(HashTable* table, Segment* segment, uint64_t slot) noexcept nogil
cdef uint8_t* replace(HashTable* table, uint64_t* cell, const uint64_t* key, uint64_t hash) noexcept nogil
cdef void shrink(HashTable* table, uint64_t position) noexcept nogil
