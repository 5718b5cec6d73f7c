"""Growth, removal and shrinking of the hash table declared (and explained) in table.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from analytics.core.pages cimport LARGEST, release, zeroed

cdef enum:
    SMALLEST = 1 << 12                              # bytes of the only segment at first
    LEAST_FILL = 40 << 10                           # of 65,536 cells, when a table begins to divide its segments: it
    FILL_SPREAD = 4 << 10                           # differs by so much, for no two tables with the same keys shall
    ROUND_FILL = 4 << 10                            # grow at one key; so much more are used when all are divided
    SPREADING = 0x9E3779B1                          # multiples of it, modulo 2^32, are far from each other


cdef uint32_t tables_opened = 0


cdef bint table_open(HashTable* table, uint32_t words, uint32_t payload, uint64_t capacity, uint64_t max_bytes,
                     uint64_t seed) noexcept nogil:
    """Prepare an empty table of keys of `words` * 8 bytes with `payload` bytes each (rounded up to 8)."""
    global tables_opened
    memset(table, 0, sizeof(HashTable))
    table.words, table.stride = words, 8 + 8 * words + ((payload + 7) & ~<uint32_t>7)
    table.capacity, table.max_bytes, table.seed = capacity, max_bytes, seed
    tables_opened += 1
    table.fill = LEAST_FILL + (<uint32_t>(tables_opened * SPREADING) >> 20) * FILL_SPREAD // 4096
    if resize(table, SMALLEST):
        return 1
    free(table.segments)
    table.segments = NULL
    return 0


cdef void table_close(HashTable* table) noexcept nogil:
    """Free everything; also what `table_open` could not open, and what was never opened."""
    cdef uint64_t number
    if table.segments != NULL:
        for number in range(table.last + 1):
            release(table.segments[number], table.bytes // (table.last + 1))
    free(table.segments)
    memset(table, 0, sizeof(HashTable))


cdef void set_limit(HashTable* table) noexcept nogil:
    """At how many keys the next segment is due. Those not divided yet are the fullest; dividing them all is spread over
    a growth of some per cent."""
    cdef uint64_t whole = (table.reach + 1) >> 1    # how many are divided in this round
    cdef uint64_t fill = table.fill
    if table.last == table.reach:
        whole = table.reach + 1
    fill += ROUND_FILL * (table.last + 1 - whole) // whole
    table.limit = table.cells * whole * fill >> 16


cdef uint64_t* free_cell(const HashTable* table, uint8_t* segment, uint64_t hash) noexcept nogil:
    """The first empty cell from the one on that a hash names."""
    cdef uint64_t slot = slot_of(table, hash)
    while cell_of(table, segment, slot)[0] != 0:
        slot += 1
        if slot == table.cells:
            slot = 0
    return cell_of(table, segment, slot)


cdef void move_all(const HashTable* table, uint8_t* segment, uint64_t cells, uint8_t* to) noexcept nogil:
    """Copy the keys of a segment of so many cells to free cells of another."""
    cdef uint64_t slot
    cdef uint64_t* cell
    for slot in range(cells):
        cell = cell_of(table, segment, slot)
        if cell[0] != 0:
            memcpy(free_cell(table, to, cell[0]), cell, table.stride)


cdef bint make_room(HashTable* table, uint64_t number) noexcept nogil:
    """Have a place in the array for a segment of this number."""
    cdef void* grown
    if number < table.room:
        return 1
    grown = realloc(table.segments, (2 * number + 1) * sizeof(uint8_t*))
    if grown == NULL:
        return 0
    table.segments, table.room = <uint8_t**>grown, 2 * number + 1
    return 1


cdef bint resize(HashTable* table, size_t size) noexcept nogil:
    """Give the only segment another size, or make it."""
    cdef uint64_t cells = table.cells
    cdef uint8_t* made
    if not make_room(table, 0):
        return 0
    made = zeroed(size)
    if made == NULL:
        return 0
    table.cells = size // table.stride
    if table.bytes:
        move_all(table, table.segments[0], cells, made)
        release(table.segments[0], table.bytes)
        table.released += 1
    table.segments[0], table.bytes = made, size
    table.generation += 1
    set_limit(table)
    return 1


cdef bint divide(HashTable* table) noexcept nogil:
    """Add a segment; it takes those keys of another one that the next bit of the hash says."""
    cdef uint64_t number = table.last + 1
    cdef uint64_t reach = table.reach if number <= table.reach else 2 * table.reach + 1
    cdef uint64_t bit = (reach + 1) >> 1
    cdef uint64_t _i, slot = 0, to
    cdef uint8_t* segment
    cdef uint8_t* made
    cdef uint64_t* cell
    if not make_room(table, number):
        return 0
    made = zeroed(LARGEST)
    if made == NULL:
        return 0
    segment = table.segments[number - bit]
    while cell_of(table, segment, slot)[0] != 0:    # behind an empty cell: no key there was looked for before it
        slot += 1
    for _i in range(table.cells):
        slot = slot + 1 if slot + 1 < table.cells else 0
        cell = cell_of(table, segment, slot)
        if cell[0] == 0:
            continue
        if cell[0] & bit:
            memcpy(free_cell(table, made, cell[0]), cell, table.stride)
            memset(cell, 0, table.stride)
            continue
        to = slot_of(table, cell[0])                # closes the gaps
        while to != slot and cell_of(table, segment, to)[0] != 0:
            to = to + 1 if to + 1 < table.cells else 0
        if to != slot:
            memcpy(cell_of(table, segment, to), cell, table.stride)
            memset(cell, 0, table.stride)
    table.segments[number] = made
    table.last, table.reach = number, reach
    table.bytes += LARGEST
    table.generation += 1
    set_limit(table)
    return 1


cdef bint grow(HashTable* table) noexcept nogil:
    """Make room for more keys; 0 at the bound, or when memory is short."""
    if table.bytes + min(table.bytes, <uint64_t>LARGEST) > table.max_bytes:
        return 0
    return resize(table, 2 * table.bytes) if table.bytes < LARGEST else divide(table)


cdef uint8_t* insert(HashTable* table, const uint64_t* key, uint64_t hash) noexcept nogil:
    """Add a key that `find` did not find; the payload is zero. NULL: the table is full, or memory is short."""
    cdef uint64_t* cell
    if table.used >= table.capacity or (table.used >= table.limit and not grow(table)):
        return NULL
    cell = free_cell(table, table.segments[number_of(table, hash)], hash)
    cell[0] = hash
    memcpy(cell + 1, key, 8 * table.words)
    table.used += 1
    return payload_of(table, cell)


cdef uint8_t* replace(HashTable* table, uint64_t* cell, const uint64_t* key, uint64_t hash) noexcept nogil:
    """Put a key that was not found in the place of another, which `cell_near` its own; the payload is zero."""
    remove(table, cell)
    return insert(table, key, hash)


cdef void remove(HashTable* table, uint64_t* cell) noexcept nogil:
    """Empty a cell and close the gap: each later cell of the run moves up if it is not looked for from behind it."""
    cdef uint8_t* segment = table.segments[number_of(table, cell[0])]
    cdef uint64_t gap = (<uint8_t*>cell - segment) // table.stride
    cdef uint64_t probe = gap, home
    while True:
        probe = probe + 1 if probe + 1 < table.cells else 0
        if cell_of(table, segment, probe)[0] == 0:
            break
        home = slot_of(table, cell_of(table, segment, probe)[0])
        if distance(table, home, probe) >= distance(table, gap, probe):
            memcpy(cell_of(table, segment, gap), cell_of(table, segment, probe), table.stride)
            gap = probe
    memset(cell_of(table, segment, gap), 0, table.stride)
    table.used -= 1
    table.generation += 1


cdef inline uint64_t distance(const HashTable* table, uint64_t one, uint64_t other) noexcept nogil:
    """Cells from one slot on to another."""
    return other - one if other >= one else other + table.cells - one


cdef void shrink(HashTable* table) noexcept nogil:
    """Give back what is too much, one segment at most: its keys go back where they came from, and fill at most a
    quarter there."""
    cdef uint64_t half = (table.reach + 1) >> 1
    cdef size_t size
    if table.last and table.used * 4 <= table.cells * half:
        move_all(table, table.segments[table.last], table.cells, table.segments[table.last - half])
        release(table.segments[table.last], LARGEST)
        table.released += 1
        table.last -= 1
        if table.last < half:
            table.reach >>= 1
        table.bytes -= LARGEST
        table.generation += 1
        set_limit(table)
    if table.last == 0:
        size = table.bytes
        while size > SMALLEST and table.used * 8 * table.stride < size:
            size //= 2
        if size != table.bytes:
            resize(table, size)


cdef Segment segment_at(const HashTable* table, uint64_t position) noexcept nogil:
    """The segment that a position is in."""
    cdef Segment segment
    cdef uint64_t number = number_of(table, reversed_bits(position))
    cdef uint64_t half = (table.reach + 1) >> 1
    cdef uint64_t reach = table.reach               # the bits of the hash that its keys have in common
    if number < half and number + half > table.last:
        reach >>= 1                                 # it is not divided yet
    segment.start = table.segments[number]
    segment.first = reversed_bits(number)
    segment.after = segment.first + reversed_bits(reach + 1) * 2 if reach else 0
    return segment
