"""A bounded hash table of fixed-size cells: the one container of the hot path.

Linear hashing (Litwin 1980) over segments: the lowest bits of a hash say in which segment its key is, the upper half
of it from which cell on it is looked for (open addressing, linear probing). A table begins with one segment of SMALLEST
bytes, which doubles up to a huge page; from then on it has so many of these as its keys need, and grows and shrinks by
one at a time, which shares the keys of one other. So the longest step costs what one segment does (about a
millisecond), however many keys there are, and memory follows their number both ways: a cell is used to 3/8 at least
and 3/4 at most once there are several segments. All segments are filled alike, because the hash is: none overflows.

A cell is [hash 8][key 8*words][payload], so a lookup in a large table costs one miss of the processor's cache; the
array of segments (8 bytes for 2 MiB) stays in it. Keys are whole 8-byte words (callers pad with zeros). Cells move when
the table changes its size or a neighbour is removed: keep no pointer to a cell over an insert or a remove.

A walk goes segment by segment: `segment_at` a position (0 at first), then at the segment's `after` until that is 0.
Positions are hashes read from their lowest bit on, for in that order a segment and those it shares its keys with are
neighbours. A walk may be interrupted anywhere: it meets every key that was there all the time, once, if it passes over
those that `was_met` names.

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
    static inline void howdah_fetch(const void* at, int for_writing) {
        if (for_writing) __builtin_prefetch(at, 1); else __builtin_prefetch(at, 0);
        __asm__ volatile("");  /* gcc takes functions that only prefetch for such without effect, and omits the calls */
    }
    static inline uint64_t howdah_reversed(uint64_t x) {
        x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
        x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
        x = (x >> 4 & 0x0F0F0F0F0F0F0F0F) | (x & 0x0F0F0F0F0F0F0F0F) << 4;
        return __builtin_bswap64(x);
    }
    """
    uint64_t fold "howdah_fold"(uint64_t, uint64_t) noexcept nogil
    uint64_t reversed_bits "howdah_reversed"(uint64_t) noexcept nogil
    void fetch "howdah_fetch"(const void*, int) noexcept nogil

cdef struct HashTable:
    uint8_t** segments                              # by number
    uint64_t last                                   # the highest number
    uint64_t reach                                  # the least 2^n - 1 that is not below `last`
    uint32_t cells                                  # of a segment
    uint32_t stride                                 # bytes of a cell
    uint32_t words                                  # key width in 8-byte words
    uint32_t room                                   # segments that there are places for in the array
    uint32_t fill                                   # of 65,536 cells, so many are used before it grows
    uint64_t used, limit                            # keys; at how many it grows
    uint64_t generation                             # how often cells may have moved: pointers from before are void
    uint64_t released                               # how often memory of cells was given back
    uint64_t capacity, max_bytes                    # no more keys, no more bytes than these, ever
    uint64_t bytes                                  # of all segments
    uint64_t seed                                   # differs per process: senders cannot choose colliding keys

cdef struct Segment:                                # as a walk meets it
    uint8_t* start
    uint64_t first, after                           # its first position, and that behind it; 0: it is the last


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


cdef inline uint64_t number_of(const HashTable* table, uint64_t hash) noexcept nogil:
    """The segment of a hash: of those that were not divided yet, the one before it was."""
    cdef uint64_t number = hash & table.reach
    return number if number <= table.last else number & (table.reach >> 1)


cdef inline uint64_t slot_of(const HashTable* table, uint64_t hash) noexcept nogil:
    """The cell of its segment from which on a key is looked for."""
    return ((hash >> 32) * table.cells) >> 32


cdef inline uint64_t* cell_of(const HashTable* table, const uint8_t* segment, uint64_t slot) noexcept nogil:
    """The cell in a slot: cell[0] is its hash (0: empty), the key starts at cell[1], the payload at cell[1 + words]."""
    return <uint64_t*>(segment + slot * table.stride)


cdef inline uint64_t* cell_near(const HashTable* table, uint64_t hash, uint32_t distance) noexcept nogil:
    """The cell so many behind the one from which on a hash is looked for."""
    return cell_of(table, table.segments[number_of(table, hash)], (slot_of(table, hash) + distance) % table.cells)


cdef inline uint8_t* payload_of(const HashTable* table, uint64_t* cell) noexcept nogil:
    return <uint8_t*>(cell + 1 + table.words)


cdef inline uint64_t* cell_with(const HashTable* table, const void* payload) noexcept nogil:
    """The cell that a payload is in."""
    return <uint64_t*>payload - 1 - table.words


cdef inline uint8_t* find(const HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil:
    """The payload behind a key, or NULL."""
    cdef const uint8_t* segment = table.segments[number_of(table, hash)]
    cdef uint64_t slot = slot_of(table, hash)
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
        slot += 1
        if slot == table.cells:
            slot = 0


cdef inline void fetch_cell(const HashTable* table, uint64_t hash) noexcept nogil:
    """Ask the memory for the cell that a key will probably be in, some time before it is looked up."""
    cdef uint8_t* cell = <uint8_t*>cell_of(table, table.segments[number_of(table, hash)], slot_of(table, hash))
    fetch(cell, 1)
    fetch(cell + table.stride - 1, 1)               # a cell may cross into the next cache line


cdef inline bint was_met(const Segment* segment, uint64_t position, uint64_t hash) noexcept nogil:
    """Whether a walk that comes to a segment at a position has met a key of it before: in one that is no more."""
    return position != segment.first and reversed_bits(hash) < position


cdef bint table_open(HashTable* table, uint32_t words, uint32_t payload, uint64_t capacity, uint64_t max_bytes,
                     uint64_t seed) noexcept nogil
cdef void table_close(HashTable* table) noexcept nogil
cdef Segment segment_at(const HashTable* table, uint64_t position) noexcept nogil
cdef uint8_t* insert(HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil
cdef void remove(HashTable* table, uint64_t* cell) noexcept nogil
cdef uint8_t* replace(HashTable* table, uint64_t* cell, const uint64_t* key, uint64_t hash) noexcept nogil
cdef void shrink(HashTable* table) noexcept nogil
