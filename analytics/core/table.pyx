"""Growth, removal and shrinking of the hash table declared (and explained) in table.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from "<sys/mman.h>" nogil:
    int MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
    void* MAP_FAILED
    int madvise(void*, size_t, int) noexcept
    void* mmap(void*, size_t, int, int, int, long) noexcept
    int munmap(void*, size_t) noexcept

cdef enum:
    SMALLEST = 64                                   # cells of a segment
    LARGEST = 1 << 21                               # bytes of a segment, a huge page: rebuilt in about a millisecond
    LEAST_FILL = 640                                # of 1024 cells, when a segment grows: it differs by table, because
    MOST_FILL = 768                                 # tables with the same keys shall not all grow at one key
    DEEPEST = 16                                    # 65,536 segments
    HUGE = 1 << 21                                  # bytes of a huge page


cdef uint32_t tables_opened = 0


cdef uint8_t* zeroed(size_t size) noexcept nogil:
    """Memory for `release`, all zero, or NULL. What is large comes from the system, to which it goes back as a whole,
    and asks for huge pages: lookups go anywhere in it, and the translations of small pages would not fit in the
    processor."""
    cdef uint8_t* made
    cdef size_t before
    if size < HUGE:
        return <uint8_t*>calloc(1, size)
    made = <uint8_t*>mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if made == <uint8_t*>MAP_FAILED:
        return NULL
    before = (HUGE - <size_t>made % HUGE) % HUGE    # what is not aligned is given back
    if before:
        munmap(made, before)
    munmap(made + before + size, HUGE - before)
    madvise(made + before, size, MADV_HUGEPAGE)     # refused: then small ones
    return made + before


cdef void release(uint8_t* made, size_t size) noexcept nogil:
    if size < HUGE:
        free(made)
    else:
        munmap(made, size)


cdef size_t bytes_of(const HashTable* table, uint64_t cells) noexcept nogil:
    """Whole pages when it is large, as the system counts."""
    cdef size_t size = cells * table.stride
    return size if size < HUGE else (size + 4095) & ~<size_t>4095


cdef Segment* segment_open(const HashTable* table, uint64_t cells, uint32_t depth) noexcept nogil:
    cdef Segment* segment = <Segment*>calloc(1, sizeof(Segment))
    if segment == NULL:
        return NULL
    segment.cells = zeroed(bytes_of(table, cells))
    if segment.cells == NULL:
        free(segment)
        return NULL
    segment.mask, segment.depth = cells - 1, depth
    return segment


cdef void segment_close(const HashTable* table, Segment* segment) noexcept nogil:
    release(segment.cells, bytes_of(table, segment.mask + 1))
    free(segment)


cdef bint table_open(HashTable* table, uint32_t words, uint32_t payload, uint64_t capacity, uint64_t max_bytes,
                     uint64_t seed) noexcept nogil:
    """Prepare an empty table of keys of `words` * 8 bytes with `payload` bytes each (rounded up to 8)."""
    global tables_opened
    memset(table, 0, sizeof(HashTable))
    table.words, table.shift = words, 63
    table.stride = 8 + 8 * words + ((payload + 7) & ~<uint32_t>7)
    table.capacity, table.max_bytes, table.seed = capacity, max_bytes, seed
    tables_opened += 1
    table.fill = LEAST_FILL + 37 * tables_opened % (MOST_FILL - LEAST_FILL)
    table.segments = <Segment**>malloc(sizeof(Segment*))
    if table.segments == NULL:
        return 0
    table.segments[0] = segment_open(table, SMALLEST, 0)
    table.bytes = bytes_of(table, SMALLEST)
    if table.segments[0] != NULL:
        return 1
    free(table.segments)
    table.segments = NULL
    return 0


cdef void table_close(HashTable* table) noexcept nogil:
    """Free everything; also what `table_open` could not open, and what was never opened."""
    cdef uint64_t position = 0
    cdef Segment* segment
    if table.segments == NULL:
        return
    while True:
        segment = segment_at(table, position)
        position = position_after(segment, position)
        segment_close(table, segment)
        if position == 0:
            break
    free(table.segments)
    memset(table, 0, sizeof(HashTable))


cdef uint64_t* free_cell(const HashTable* table, const Segment* segment, uint64_t hash) noexcept nogil:
    """The first empty cell from the one on that a hash names."""
    cdef uint64_t slot = hash & segment.mask
    while cell_of(table, segment, slot)[0] != 0:
        slot = (slot + 1) & segment.mask
    return cell_of(table, segment, slot)


cdef void move(const HashTable* table, const Segment* old, Segment* one, Segment* other, uint64_t bit) noexcept nogil:
    """Copy the cells of a segment into another, or those with a bit of the hash set into a third."""
    cdef uint64_t slot
    cdef uint64_t* cell
    cdef Segment* to
    for slot in range(old.mask + 1):
        cell = cell_of(table, old, slot)
        if cell[0] != 0:
            to = other if cell[0] & bit else one
            memcpy(free_cell(table, to, cell[0]), cell, table.stride)
            to.used += 1


cdef void point(HashTable* table, uint64_t position, Segment* segment) noexcept nogil:
    """Let every entry of the directory with the upper bits of `position` name the segment."""
    cdef uint64_t count = <uint64_t>1 << (table.depth - segment.depth)
    cdef uint64_t first = ((position >> 1) >> table.shift) & ~(count - 1)
    cdef uint64_t i
    for i in range(first, first + count):
        table.segments[i] = segment


cdef bint resize(HashTable* table, Segment* segment, uint64_t position, uint64_t cells) noexcept nogil:
    """Give a segment another number of cells."""
    cdef Segment* made = segment_open(table, cells, segment.depth)
    if made == NULL:
        return 0
    move(table, segment, made, NULL, 0)
    table.bytes += bytes_of(table, cells) - bytes_of(table, segment.mask + 1)
    point(table, position, made)
    segment_close(table, segment)
    table.generation += 1
    return 1


cdef bint deepen(HashTable* table) noexcept nogil:
    """Double the directory."""
    cdef uint64_t count = <uint64_t>1 << table.depth
    cdef Segment** made
    cdef uint64_t i
    if table.depth == DEEPEST:
        return 0
    made = <Segment**>malloc(2 * count * sizeof(Segment*))
    if made == NULL:
        return 0
    for i in range(2 * count):
        made[i] = table.segments[i >> 1]
    free(table.segments)
    table.segments, table.depth, table.shift = made, table.depth + 1, table.shift - 1
    return 1


cdef bint divide(HashTable* table, Segment* segment, uint64_t position) noexcept nogil:
    """Make two segments of one, by the next bit of the hash."""
    cdef uint64_t bit = <uint64_t>1 << (63 - segment.depth)
    cdef Segment* low
    cdef Segment* high
    if segment.depth == table.depth and not deepen(table):
        return 0
    low = segment_open(table, segment.mask + 1, segment.depth + 1)
    high = segment_open(table, segment.mask + 1, segment.depth + 1)
    if low == NULL or high == NULL:
        if low != NULL:
            segment_close(table, low)
        if high != NULL:
            segment_close(table, high)
        return 0
    move(table, segment, low, high, bit)
    point(table, position & ~bit, low)
    point(table, position | bit, high)
    table.bytes += bytes_of(table, segment.mask + 1)
    segment_close(table, segment)
    table.generation += 1
    return 1


cdef bint grow(HashTable* table, Segment* segment, uint64_t hash) noexcept nogil:
    """Make room in the segment of a hash; 0 at the bound, or when memory is short."""
    cdef uint64_t cells = segment.mask + 1
    cdef size_t more = bytes_of(table, 2 * cells) - bytes_of(table, cells)
    if table.bytes + more > table.max_bytes:
        return 0
    if bytes_of(table, 2 * cells) <= LARGEST:
        return resize(table, segment, hash, 2 * cells)
    return divide(table, segment, hash)


cdef uint8_t* insert(HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil:
    """Add a key that `find` did not find; the payload is zero. NULL: the table is full, or memory is short."""
    cdef Segment* segment = segment_at(table, hash)
    cdef uint64_t* cell
    if table.used >= table.capacity:
        return NULL
    while (segment.used + 1) * 1024 > (segment.mask + 1) * table.fill:  # again when all went to one side of a division
        if not grow(table, segment, hash):
            return NULL
        segment = segment_at(table, hash)
    cell = free_cell(table, segment, hash)
    cell[0] = hash
    memcpy(cell + 1, key, 8 * table.words)
    segment.used += 1
    table.used += 1
    return payload_of(table, cell)


cdef uint8_t* replace(HashTable* table, uint64_t* cell, const uint64_t* key, uint64_t hash) noexcept nogil:
    """Put a key that was not found in the place of another, which was met on the way; the payload is zero."""
    memset(cell, 0, table.stride)
    cell[0] = hash
    memcpy(cell + 1, key, 8 * table.words)
    table.generation += 1
    return payload_of(table, cell)


cdef void remove(HashTable* table, Segment* segment, uint64_t slot) noexcept nogil:
    """Empty a slot and close the gap: each later cell of the run moves up if its home is not behind the gap."""
    cdef uint64_t gap = slot
    cdef uint64_t probe = slot
    cdef uint64_t home
    while True:
        probe = (probe + 1) & segment.mask
        if cell_of(table, segment, probe)[0] == 0:
            break
        home = cell_of(table, segment, probe)[0] & segment.mask
        if ((probe - home) & segment.mask) >= ((probe - gap) & segment.mask):
            memcpy(cell_of(table, segment, gap), cell_of(table, segment, probe), table.stride)
            gap = probe
    memset(cell_of(table, segment, gap), 0, table.stride)
    segment.used -= 1
    table.used -= 1
    table.generation += 1


cdef bint join(HashTable* table, uint64_t position) noexcept nogil:
    """Make one segment of the one at a position and the one it was divided from; 0: they are too full for it."""
    cdef Segment* segment = segment_at(table, position)
    cdef Segment* beside
    cdef Segment* made
    cdef uint64_t cells
    if segment.depth == 0:
        return 0
    beside = segment_at(table, position ^ (<uint64_t>1 << (64 - segment.depth)))
    cells = max(segment.mask, beside.mask) + 1
    if beside.depth != segment.depth or (segment.used + beside.used) * 4 > cells:
        return 0
    made = segment_open(table, cells, segment.depth - 1)
    if made == NULL:
        return 0
    move(table, segment, made, NULL, 0)
    move(table, beside, made, NULL, 0)
    table.bytes += bytes_of(table, cells)
    table.bytes -= bytes_of(table, segment.mask + 1) + bytes_of(table, beside.mask + 1)
    point(table, position, made)
    segment_close(table, segment)
    segment_close(table, beside)
    table.generation += 1
    return 1


cdef void shrink(HashTable* table, uint64_t position) noexcept nogil:
    """Give back what the segment at a position has too much: it joins others, then has fewer cells."""
    cdef Segment* segment = segment_at(table, position)
    cdef uint64_t cells
    while segment.used * 8 < segment.mask + 1 and join(table, position):
        segment = segment_at(table, position)
    cells = segment.mask + 1
    while cells > SMALLEST and segment.used * 8 < cells:
        cells //= 2
    if cells != segment.mask + 1:
        resize(table, segment, position, cells)
