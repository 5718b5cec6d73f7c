"""Text grows in one buffer: named values as `name value` lines or as members of JSON objects, written without the GIL.

The buffer doubles when it is full and is emptied by its owner, so memory follows the longest document and not the file.
When memory runs out `lost` is set and what does not fit is left out: the owner raises MemoryError.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen


cdef struct Buffer:
    char* start
    char* at                                        # next free byte
    char* end
    bint lost
    bint json                                       # else text
    bint discarded                                  # names carry the prefix discarded_ (records of a 0:5 sample)
    uint32_t faults                                 # structures that did not fit their windows

cdef extern from *:
    """
    static const char howdah_upper[] = "0123456789ABCDEF";
    static const char howdah_lower[] = "0123456789abcdef";
    """
    const char* UPPER "howdah_upper"
    const char* LOWER "howdah_lower"


cdef inline bint reserve(Buffer* out, size_t more) noexcept nogil:
    """Have `more` free bytes; 0 when there is no memory."""
    cdef size_t used, size
    cdef char* grown
    if <size_t>(out.end - out.at) >= more:
        return 1
    used = <size_t>(out.at - out.start)
    size = 2 * used + more + 4096
    grown = <char*>realloc(out.start, size)
    if grown == NULL:
        out.lost = 1
        return 0
    out.start, out.at, out.end = grown, grown + used, grown + size
    return 1


cdef inline void put(Buffer* out, const char* text, size_t length) noexcept nogil:
    if reserve(out, length):
        memcpy(out.at, text, length)
        out.at += length


cdef inline void say(Buffer* out, const char* text) noexcept nogil:
    """A literal."""
    put(out, text, strlen(text))


cdef inline void put_char(Buffer* out, char one) noexcept nogil:
    if reserve(out, 1):
        out.at[0] = one
        out.at += 1


cdef inline char last(const Buffer* out) noexcept nogil:
    """The last character; there is one."""
    return (out.at - 1)[0]


cdef inline void put_u64(Buffer* out, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int first = 20
    while True:
        first -= 1
        digits[first] = <char>(48 + value % 10)
        value //= 10
        if value == 0:
            break
    put(out, &digits[first], 20 - first)


cdef inline void put_i64(Buffer* out, int64_t value) noexcept nogil:
    if value < 0:
        put_char(out, b"-")
        put_u64(out, 0 - <uint64_t>value)
    else:
        put_u64(out, <uint64_t>value)


cdef inline void put_double(Buffer* out, double value) noexcept nogil:
    """Three decimals, as sflowtool prints floats."""
    cdef char digits[352]                           # the longest double has 309 digits before the point
    cdef int length = snprintf(digits, sizeof(digits), b"%.3f", value)
    put(out, digits, length)


cdef inline void put_hex(Buffer* out, const uint8_t* data, size_t length) noexcept nogil:
    """Lower case, nothing between the bytes."""
    cdef size_t i
    if not reserve(out, 2 * length):
        return
    for i in range(length):
        out.at[0] = LOWER[data[i] >> 4]
        out.at[1] = LOWER[data[i] & 15]
        out.at += 2


cdef inline void put_octets(Buffer* out, const uint8_t* data, size_t length) noexcept nogil:
    """Upper case with dashes, as sflowtool prints bytes: 00-1A-FF."""
    cdef size_t i
    cdef char* at
    if length == 0 or not reserve(out, 3 * length):
        return
    at = out.at
    for i in range(length):
        at[0] = UPPER[data[i] >> 4]
        at[1] = UPPER[data[i] & 15]
        at[2] = b"-"
        at += 3
    out.at = at - 1                                 # without the last dash


cdef inline void put_ip4(Buffer* out, const uint8_t* address) noexcept nogil:
    cdef int i
    for i in range(4):
        if i:
            put_char(out, b".")
        put_u64(out, address[i])


cdef inline void put_ip6(Buffer* out, const uint8_t* address) noexcept nogil:
    """Eight groups of four digits, zeros written out, as sflowtool prints IPv6."""
    cdef int i
    for i in range(8):
        if i:
            put_char(out, b":")
        put_hex(out, address + 2 * i, 2)


cdef inline void put_member(Buffer* out, const char* name, size_t length) noexcept nogil:
    """A member's name and what is between it and its neighbour; only in JSON."""
    if not reserve(out, length + 16):
        return
    if last(out) != b"{":
        out.at[0] = b","
        out.at += 1
    out.at[0] = b'"'
    out.at += 1
    if out.discarded:
        memcpy(out.at, b"discarded_", 10)
        out.at += 10
    memcpy(out.at, name, length)
    out.at += length
    out.at[0] = b'"'
    out.at[1] = b":"
    out.at += 2


cdef inline void begin_sized(Buffer* out, const char* name, size_t length) noexcept nogil:
    """Begin a named value; `end` must follow."""
    if out.json:
        put_member(out, name, length)
        put_char(out, b'"')
        return
    if out.discarded:
        say(out, b"discarded_")
    put(out, name, length)
    put_char(out, b" ")


cdef inline void begin(Buffer* out, const char* name) noexcept nogil:
    begin_sized(out, name, strlen(name))


cdef inline void end(Buffer* out) noexcept nogil:
    put_char(out, b'"' if out.json else b"\n")


cdef inline void begin_numbered(Buffer* out, const char* name, uint32_t number) noexcept nogil:
    """Begin `name`, or `name.1`, `name.2` ... for the further ones."""
    cdef char full[64]
    if number == 0:
        begin(out, name)
    else:
        begin_sized(out, full, snprintf(full, sizeof(full), b"%s.%u", name, number))


cdef inline void named(Buffer* out, const char* name, uint64_t value) noexcept nogil:
    """A whole number under its name."""
    begin(out, name)
    put_u64(out, value)
    end(out)


cdef inline void named_text(Buffer* out, const char* name, const char* value) noexcept nogil:
    begin(out, name)
    say(out, value)
    end(out)


cdef inline void next_object(Buffer* out) noexcept nogil:
    """Open one more object in a JSON array."""
    if out.json:
        say(out, b",{" if last(out) == b"}" else b"{")


cdef inline void put_escaped(Buffer* out, uint8_t byte) noexcept nogil:
    if reserve(out, 6):
        memcpy(out.at, b"\\u00", 4)
        out.at[4] = LOWER[byte >> 4]
        out.at[5] = LOWER[byte & 15]
        out.at += 6


cdef inline int utf8_length(const uint8_t* at, size_t left) noexcept nogil:
    """Bytes of the valid UTF-8 character (RFC 3629) that starts here; 0 when it is none."""
    cdef uint8_t first = at[0]
    cdef int length = 2 if 0xC2 <= first <= 0xDF else 3 if 0xE0 <= first <= 0xEF else 4 if 0xF0 <= first <= 0xF4 else 0
    cdef int i
    if length == 0 or left < <size_t>length:
        return 0
    for i in range(1, length):
        if at[i] & 0xC0 != 0x80:
            return 0
    if ((first == 0xE0 and at[1] < 0xA0) or (first == 0xED and at[1] > 0x9F) or (first == 0xF0 and at[1] < 0x90)
            or (first == 0xF4 and at[1] > 0x8F)):
        return 0
    return length


cdef inline void put_text(Buffer* out, const uint8_t* text, size_t length) noexcept nogil:
    """A string from the network: control characters as \\u00.., what is no UTF-8 as U+FFFD, trailing NULs left out.

    In JSON quotes and backslashes are escaped too. In text the escapes keep a name from driving the terminal.
    """
    cdef size_t i = 0
    cdef int more
    while length and text[length - 1] == 0:
        length -= 1
    while i < length:
        if text[i] >= 0x80:
            more = utf8_length(text + i, length - i)
            if more == 0:
                say(out, b"\xef\xbf\xbd")
                more = 1
            elif text[i] == 0xC2 and text[i + 1] < 0xA0:    # C1 control characters
                put_escaped(out, text[i + 1])
            else:
                put(out, <const char*>text + i, more)
            i += more
            continue
        if text[i] < 0x20 or text[i] == 0x7F:
            put_escaped(out, text[i])
        else:
            if out.json and (text[i] == 0x22 or text[i] == 0x5C):
                put_char(out, b"\\")
            put_char(out, <char>text[i])
        i += 1
