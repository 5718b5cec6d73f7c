"""One located field under its name, in sflowtool's formats (sflow-wire.md 8.4-8.7).

A value's window was measured by `rows.locate`, so the printers here trust its length and its counts. Signed fields keep
their sign, and names have no `%u`: see the table of deviations in analytics/README.md.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy

from analytics.core.printing.buffer cimport (
    Buffer, begin_sized, end, last, named, next_object, put_char, put_double, put_hex, put_i64, put_ip4, put_ip6,
    put_octets, put_text, put_u64, say,
)
from analytics.core.wire.rows cimport (
    ADAPTERS, ADDR, AS_PATH, DPID, F32, F64, FIRST_AS, I32, IP4, IP6, LABELS, LANES, LAST_AS, MAC, PERCENT, PERCENTS,
    PORT, PORT2, SOURCE, SOURCE2, STR, U8, U32, U32S, U64, UUID, VLANS, WORD, FieldKind, ShownRow,
)
from analytics.core.wire.xdr cimport Window, be16, be32, be64, left

cdef enum:
    LANE_BYTES = 40


cdef const char** LANE_NAMES = [
    "index", "tx_bias_current_uA", "tx_power_uW", "tx_power_min_uW", "tx_power_max_uW", "tx_wavelength_nM",
    "rx_power_uW", "rx_power_min_uW", "rx_power_max_uW", "rx_wavelength_nM",
]


cdef void put_percent(Buffer* out, int32_t hundredths) noexcept nogil:
    """Hundredths of a percent with two decimals; -1 is unknown."""
    cdef uint32_t size = <uint32_t>hundredths if hundredths >= 0 else 0 - <uint32_t>hundredths
    if hundredths == -1:
        say(out, b"unknown")
        return
    if hundredths < 0:
        put_char(out, b"-")
    put_u64(out, size // 100)
    put_char(out, b".")
    put_char(out, <char>(48 + size // 10 % 10))
    put_char(out, <char>(48 + size % 10))


cdef void put_address(Buffer* out, Window value) noexcept nogil:
    if left(&value) == 4:
        put_ip4(out, value.at)
    elif left(&value) == 16:
        put_ip6(out, value.at)
    else:
        put_char(out, b"-")


cdef void put_uuid(Buffer* out, const uint8_t* at) noexcept nogil:
    cdef int i
    for i in range(16):
        if i in (4, 6, 8, 10):
            put_char(out, b"-")
        put_hex(out, at + i, 1)


cdef void put_port(Buffer* out, uint32_t form, uint32_t value) noexcept nogil:
    """An interface (2.2); the device itself prints as sflowtool has it, 0x3FFFFFFF."""
    if form == 1:
        say(out, b"dropCode ")
    elif form == 2:
        say(out, b"multiple ")
    elif form != 0:
        say(out, b"format==")
        put_u64(out, form)
        put_char(out, b" ")
    put_u64(out, value)


cdef void put_source(Buffer* out, uint32_t kind, uint32_t index) noexcept nogil:
    put_u64(out, kind)
    put_char(out, b":")
    put_u64(out, index)


cdef void put_word(Buffer* out, const ShownRow* shown, uint32_t number) noexcept nogil:
    """The word for a number, or the row's text for unknown ones, in which {} stands for the number."""
    cdef int i = 0
    cdef const char* at = shown.unknown
    while shown.words[i].word != NULL:
        if shown.words[i].number == number:
            say(out, shown.words[i].word)
            return
        i += 1
    while at[0]:
        if at[0] == b"{" and at[1] == b"}":
            put_u64(out, number)
            at += 2
        else:
            put_char(out, at[0])
            at += 1


cdef void put_label(Buffer* out, uint32_t entry) noexcept nogil:
    """label.tc.s.ttl of an MPLS label stack entry (RFC 3032)."""
    put_u64(out, entry >> 12)
    put_char(out, b".")
    put_u64(out, (entry >> 9) & 7)
    put_char(out, b".")
    put_u64(out, (entry >> 8) & 1)
    put_char(out, b".")
    put_u64(out, entry & 0xFF)


cdef void put_tag(Buffer* out, const uint8_t* at) noexcept nogil:
    """0xTPID and priority.cfi.vlan of an 802.1Q tag."""
    cdef uint32_t tci = be16(at + 2)
    say(out, b"0x")
    put_hex(out, at, 2)
    put_u64(out, tci >> 13)
    put_char(out, b".")
    put_u64(out, (tci >> 12) & 1)
    put_char(out, b".")
    put_u64(out, tci & 0xFFF)


cdef void put_list(Buffer* out, FieldKind kind, Window value) noexcept nogil:
    cdef bint first = 1
    while left(&value):
        if not first:
            put_char(out, b"," if kind == PERCENTS else b"-")
        first = 0
        if kind == LABELS:
            put_label(out, be32(value.at))
        elif kind == VLANS:
            put_tag(out, value.at)
        elif kind == PERCENTS:
            put_percent(out, <int32_t>be32(value.at))
        else:
            put_u64(out, be32(value.at))
        value.at += 4


cdef void put_as_path(Buffer* out, Window path) noexcept nogil:
    """a-b-c, and sets in parentheses; the window begins with the count of segments."""
    cdef uint32_t numbers, kind
    cdef bint first = 1, opened
    path.at += 4
    while left(&path):
        kind, numbers = be32(path.at), be32(path.at + 4)
        path.at += 8
        opened = 0
        while numbers:
            if not first:
                put_char(out, b"-")
            if kind == 1 and not opened:
                put_char(out, b"(")
            first, opened = 0, 1
            put_u64(out, be32(path.at))
            path.at += 4
            numbers -= 1
        if kind == 1 and opened:
            put_char(out, b")")


cdef uint32_t end_of_path(Window path, bint at_end) noexcept nogil:
    """The first or last AS number of a path; 0 when it is empty."""
    cdef uint32_t numbers, found = 0
    path.at += 4
    while left(&path):
        numbers = be32(path.at + 4)
        path.at += 8
        if numbers:
            found = be32(path.at + (4 * <size_t>(numbers - 1) if at_end else 0))
            if not at_end:
                break
        path.at += 4 * <size_t>numbers
    return found


cdef bint is_empty(FieldKind kind, Window value) noexcept nogil:
    return left(&value) <= (4 if kind == AS_PATH else 0)


cdef void put_scalar(Buffer* out, FieldKind kind, Window value) noexcept nogil:
    cdef uint32_t single
    cdef uint64_t double_bits
    cdef float narrow
    cdef double wide
    if kind == U32:
        put_u64(out, be32(value.at))
    elif kind == U64:
        put_u64(out, be64(value.at))
    elif kind == I32:
        put_i64(out, <int32_t>be32(value.at))
    elif kind == U8:
        put_u64(out, value.at[0])
    elif kind == STR:
        put_text(out, value.at, left(&value))
    elif kind == MAC:
        put_hex(out, value.at, 6)
    elif kind == IP4 or kind == IP6 or kind == ADDR:
        put_address(out, value)
    elif kind == PERCENT:
        put_percent(out, <int32_t>be32(value.at))
    elif kind == F32:
        single = be32(value.at)
        memcpy(&narrow, &single, 4)
        put_double(out, narrow)
    elif kind == F64:
        double_bits = be64(value.at)
        memcpy(&wide, &double_bits, 8)
        put_double(out, wide)
    elif kind == UUID:
        put_uuid(out, value.at)
    elif kind == DPID:
        put_hex(out, value.at, 8)
    else:
        put_octets(out, value.at, left(&value))


cdef void put_compound(Buffer* out, const ShownRow* shown, Window value) noexcept nogil:
    cdef FieldKind kind = shown.kind
    if kind == SOURCE:
        put_source(out, value.at[0], be32(value.at) & 0xFFFFFF)
    elif kind == SOURCE2:
        put_source(out, be32(value.at), be32(value.at + 4))
    elif kind == PORT:
        put_port(out, be32(value.at) >> 30, be32(value.at) & 0x3FFFFFFF)
    elif kind == PORT2:
        put_port(out, be32(value.at), be32(value.at + 4))
    elif kind == AS_PATH:
        put_as_path(out, value)
    elif kind == FIRST_AS or kind == LAST_AS:
        put_u64(out, end_of_path(value, kind == LAST_AS))
    elif kind in (U32S, PERCENTS, LABELS, VLANS):
        put_list(out, kind, value)
    elif kind == WORD:
        put_word(out, shown, be32(value.at))
    else:
        put_scalar(out, kind, value)


cdef void show_lanes(Buffer* out, Window lanes) noexcept nogil:
    """How many optical lanes, then each: in text sfp_lane_NAME.N, in JSON an object with short and long names."""
    cdef int lane = 0, i
    cdef char name[64]
    named(out, b"sfp_module_active_lanes", left(&lanes) // LANE_BYTES)
    if out.json:
        say(out, b',"sfp_lanes":[')
    while left(&lanes):
        next_object(out)
        if out.json:
            for i in range(10):
                named(out, LANE_NAMES[i], be32(lanes.at + 4 * i))
        for i in range(10):
            begin_sized(out, name, snprintf(name, sizeof(name), b"sfp_lane_%s.%d", LANE_NAMES[i], lane))
            put_u64(out, be32(lanes.at + 4 * i))
            end(out)
        if out.json:
            put_char(out, b"}")
        lanes.at += LANE_BYTES
        lane += 1
    if out.json:
        put_char(out, b"]")


cdef void show_macs(Buffer* out, Window macs, int adapter) noexcept nogil:
    cdef int number = 0
    cdef char name[64]
    if out.json:
        say(out, b',"mac_list":[')
    while left(&macs):
        if out.json:
            say(out, b'"' if number == 0 else b',"')
        else:
            begin_sized(out, name, snprintf(name, sizeof(name), b"adaptor_%d_MAC_%d", adapter, number))
        put_hex(out, macs.at, 6)
        end(out)
        macs.at += 8
        number += 1
    if out.json:
        put_char(out, b"]")


cdef void show_adapters(Buffer* out, Window adapters) noexcept nogil:
    """Adapters with their MACs: in text adaptor_N_ifIndex ..., in JSON adaptor_list of objects with a mac_list."""
    cdef int number = 0
    cdef uint32_t index, macs
    cdef char name[64]
    adapters.at += 4                                # the count
    if out.json:
        if last(out) != b"{":
            put_char(out, b",")
        say(out, b'"adaptor_list":[')
    while left(&adapters):
        index, macs = be32(adapters.at), be32(adapters.at + 4)
        adapters.at += 8
        next_object(out)
        if out.json:
            named(out, b"ifIndex", index)
            named(out, b"MACs", macs)
        else:
            begin_sized(out, name, snprintf(name, sizeof(name), b"adaptor_%d_ifIndex", number))
            put_u64(out, index)
            end(out)
            begin_sized(out, name, snprintf(name, sizeof(name), b"adaptor_%d_MACs", number))
            put_u64(out, macs)
            end(out)
        show_macs(out, Window(adapters.at, adapters.at + 8 * <size_t>macs), number)
        adapters.at += 8 * <size_t>macs
        if out.json:
            put_char(out, b"}")
        number += 1
    if out.json:
        put_char(out, b"]")


cdef void show_value(Buffer* out, const ShownRow* shown, Window value) noexcept nogil:
    """Print a field that holds no further structures."""
    if shown.kind == LANES:
        show_lanes(out, value)
    elif shown.kind == ADAPTERS:
        show_adapters(out, value)
    elif not shown.hidden_if_empty or not is_empty(shown.kind, value):
        begin_sized(out, shown.name, shown.length)
        put_compound(out, shown, value)
        end(out)
