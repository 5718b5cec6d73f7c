"""Memory of the tables: whole segments are huge pages, of which some are made before they are needed.

A new page costs what the system takes to find and clear it: 0.3 ms for 2 MiB at best, several ms where it has to move
others out of the way first, or where the machine is a virtual one whose host has to do the same. A table grows with the
pipeline's lock held, and many grow together, because their definitions see the same samples. So a thread in
`keep_spares` has SPARES pages ready once any was taken; without that thread, or when none is left, a page is made when
it is used. `give_back` frees those that nobody wants any more.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #include <pthread.h>
    #include <stdint.h>
    #include <sys/mman.h>

    static pthread_mutex_t howdah_spares_lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t howdah_spares_changed = PTHREAD_COND_INITIALIZER;
    """
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    pthread_mutex_t spares_lock "howdah_spares_lock"
    pthread_cond_t spares_changed "howdah_spares_changed"
    int pthread_mutex_lock(pthread_mutex_t*) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept nogil
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*) noexcept nogil
    int pthread_cond_broadcast(pthread_cond_t*) noexcept nogil
    int MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
    void* MAP_FAILED
    int madvise(void*, size_t, int) noexcept nogil
    void* mmap(void*, size_t, int, int, int, long) noexcept nogil
    int munmap(void*, size_t) noexcept nogil

cdef enum:
    SPARES = 16
    SMALL_PAGE = 1 << 12

cdef uint8_t* spares[SPARES]                         # all of this under `spares_lock`
cdef uint32_t spare_count = 0, wanted = 0
cdef bint keeping = 0                               # a thread is in `keep_spares`
cdef uint64_t taken = 0, taken_before = 0           # segments, ever; at the last `give_back`


cdef uint8_t* mapped() noexcept nogil:
    """A whole segment, aligned, not touched yet; or NULL. It asks for a huge page: lookups go anywhere in it, and the
    translations of small pages would not fit in the processor."""
    cdef uint8_t* made = <uint8_t*>mmap(NULL, 2 * LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    cdef size_t before
    if made == <uint8_t*>MAP_FAILED:
        return NULL
    before = (LARGEST - <size_t>made % LARGEST) % LARGEST  # what is not aligned is given back
    if before:
        munmap(made, before)
    munmap(made + before + LARGEST, LARGEST - before)
    madvise(made + before, LARGEST, MADV_HUGEPAGE)  # refused: then small ones
    return made + before


cdef uint8_t* zeroed(size_t size) noexcept nogil:
    """Memory of a segment for `release`, all zero, or NULL."""
    global spare_count, taken, wanted
    cdef uint8_t* made = NULL
    if size < LARGEST:
        return <uint8_t*>calloc(1, size)
    pthread_mutex_lock(&spares_lock)
    taken += 1
    wanted = SPARES
    if spare_count:
        spare_count -= 1
        made = spares[spare_count]
    pthread_cond_broadcast(&spares_changed)
    pthread_mutex_unlock(&spares_lock)
    return made if made != NULL else mapped()


cdef void release(uint8_t* made, size_t size) noexcept nogil:
    if size < LARGEST:
        free(made)
    else:
        munmap(made, LARGEST)


cdef bint add_spare() noexcept nogil:
    """Make a spare as soon as one is wanted; 0: `end_spares` was called."""
    global spare_count, wanted
    cdef uint8_t* made
    cdef size_t page
    cdef bint goes_on
    pthread_mutex_lock(&spares_lock)
    while keeping and spare_count >= wanted:
        pthread_cond_wait(&spares_changed, &spares_lock)
    goes_on = keeping
    pthread_mutex_unlock(&spares_lock)
    if not goes_on:
        return 0
    made = mapped()
    if made != NULL:
        for page in range(LARGEST // SMALL_PAGE):
            made[page * SMALL_PAGE] = 0             # now it takes memory
    pthread_mutex_lock(&spares_lock)
    if made == NULL:
        wanted = 0                                  # memory is short; again when a table wants some
    elif spare_count < wanted:
        spares[spare_count] = made
        spare_count += 1
        made = NULL
    pthread_mutex_unlock(&spares_lock)
    if made != NULL:
        munmap(made, LARGEST)
    return 1


def keep_spares() -> None:
    """Have spares ready until `end_spares` is called; what a thread of its own does."""
    global keeping
    keeping = 1
    with nogil:
        while add_spare():
            pass


def end_spares() -> None:
    """Have the thread in `keep_spares` return, and free the spares."""
    global keeping, taken_before
    pthread_mutex_lock(&spares_lock)
    keeping, taken_before = 0, taken
    pthread_cond_broadcast(&spares_changed)
    pthread_mutex_unlock(&spares_lock)
    give_back()


def give_back() -> None:
    """Free the spares if no table has taken one since the last call."""
    global spare_count, wanted, taken_before
    pthread_mutex_lock(&spares_lock)
    if taken == taken_before:
        wanted = 0
        while spare_count:
            spare_count -= 1
            munmap(spares[spare_count], LARGEST)
    taken_before = taken
    pthread_mutex_unlock(&spares_lock)


def count_spares() -> int:
    """How many there are."""
    return spare_count
