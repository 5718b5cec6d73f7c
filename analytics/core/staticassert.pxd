"""Assertions about constants that the C compiler checks: a false one does not compile."""

cdef extern from *:
    """
    #define howdah_static_assert(condition) do { _Static_assert(condition, #condition); } while (0)
    """
    void static_assert "howdah_static_assert"(bint condition) noexcept nogil
