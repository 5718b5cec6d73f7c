"""Growth and removal of the hash table declared (and explained) in table.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void**, size_t, size_t) noexcept

cdef extern from "<sys/mman.h>" nogil:
    int MADV_HUGEPAGE
    int madvise(void*, size_t, int) noexcept

cdef enum:
    SMALLEST = 64
    HUGE = 1 << 21                                  # bytes of a huge page


cdef void* zeroed(size_t size) noexcept nogil:
    """Memory for `free`, all zero, or NULL. What is large asks for huge pages: lookups go anywhere in it, and the
    translations of small pages would not fit in the processor."""
    cdef void* made = NULL
    if size < HUGE:
        return calloc(1, size)
    if posix_memalign(&made, HUGE, size) != 0:
        return NULL
    madvise(made, size, MADV_HUGEPAGE)              # refused: then small ones
    return memset(made, 0, size)


cdef bint table_open(HashTable* table, uint32_t words, uint32_t payload, uint64_t capacity,
                     uint64_t seed) noexcept nogil:
    """Prepare an empty table of keys of `words` * 8 bytes with `payload` bytes each (rounded up to 8)."""
    table.words = words
    table.stride = 8 + 8 * words + ((payload + 7) & ~<uint32_t>7)
    table.capacity = capacity
    table.seed = seed
    table.used = table.generation = 0
    table.mask = SMALLEST - 1
    table.cells = <uint8_t*>zeroed(SMALLEST * table.stride)
    return table.cells != NULL


cdef void table_close(HashTable* table) noexcept nogil:
    free(table.cells)
    table.cells = NULL
    table.used = 0


cdef void table_clear(HashTable* table) noexcept nogil:
    memset(table.cells, 0, (table.mask + 1) * table.stride)
    table.used = 0
    table.generation += 1


cdef uint64_t* free_cell(const HashTable* table, uint64_t hash) noexcept nogil:
    """The first empty cell from the one on that a hash names."""
    cdef uint64_t slot = hash & table.mask
    while cell_at(table, slot)[0] != 0:
        slot = (slot + 1) & table.mask
    return cell_at(table, slot)


cdef bint rebuild(HashTable* table, uint64_t cells, uint32_t stride) noexcept nogil:
    """Move everything to a new array; what a shorter stride cuts off is lost, what a longer one adds is zero."""
    cdef HashTable bigger = table[0]
    cdef uint64_t slot
    cdef uint32_t kept = stride if stride < table.stride else table.stride
    bigger.cells = <uint8_t*>zeroed(cells * stride)
    if bigger.cells == NULL:
        return 0
    bigger.mask = cells - 1
    bigger.stride = stride
    bigger.generation += 1
    for slot in range(table.mask + 1):
        if cell_at(table, slot)[0] != 0:
            memcpy(free_cell(&bigger, cell_at(table, slot)[0]), cell_at(table, slot), kept)
    free(table.cells)
    table[0] = bigger
    return 1


cdef uint8_t* insert(HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil:
    """Add a key that `find` did not find; the payload is zero. NULL: `capacity` keys are held, or memory is short."""
    cdef uint64_t* cell
    if table.used >= table.capacity:
        return NULL
    if (table.used + 1) * 4 > (table.mask + 1) * 3 and not rebuild(table, (table.mask + 1) * 2, table.stride):
        return NULL
    cell = free_cell(table, hash)
    cell[0] = hash
    memcpy(cell + 1, key, 8 * table.words)
    table.used += 1
    return <uint8_t*>(cell + 1 + table.words)


cdef void remove(HashTable* table, uint64_t slot) noexcept nogil:
    """Empty a slot and close the gap: each later cell of the run moves up if its home is not behind the gap."""
    cdef uint64_t gap = slot
    cdef uint64_t probe = slot
    cdef uint64_t home
    while True:
        probe = (probe + 1) & table.mask
        if cell_at(table, probe)[0] == 0:
            break
        home = cell_at(table, probe)[0] & table.mask
        if ((probe - home) & table.mask) >= ((probe - gap) & table.mask):
            memcpy(cell_at(table, gap), cell_at(table, probe), table.stride)
            gap = probe
    memset(cell_at(table, gap), 0, table.stride)
    table.used -= 1
    table.generation += 1


cdef bint resize_payload(HashTable* table, uint32_t payload) noexcept nogil:
    """Change the payload's size, keeping keys and the part of the payload that fits."""
    return rebuild(table, table.mask + 1, 8 + 8 * table.words + ((payload + 7) & ~<uint32_t>7))
