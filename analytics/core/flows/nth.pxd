"""Selection: which of many numbers has so many below it, in linear time and without sorting them."""

from libc.stdint cimport int64_t, uint64_t


cdef inline double nth(double* items, uint64_t count, uint64_t n) noexcept nogil:
    """The item that would be at `n` if they were sorted: it is put there, no smaller one behind it and no larger one
    before it (quickselect, Hoare 1961). Items come in the order of a hash, so senders cannot choose a bad one."""
    cdef int64_t low = 0, high = <int64_t>count - 1, i, j, at = <int64_t>n
    cdef double pivot
    while low < high:
        pivot = items[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while items[i] < pivot:
                i += 1
            while items[j] > pivot:
                j -= 1
            if i <= j:
                items[i], items[j] = items[j], items[i]
                i += 1
                j -= 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return items[at]
