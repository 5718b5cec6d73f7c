"""Printing one located field of a structure under its name."""

from analytics.core.printing.buffer cimport Buffer
from analytics.core.wire.rows cimport FieldKind, ShownRow
from analytics.core.wire.xdr cimport Window

cdef void show_value(Buffer* out, const ShownRow* shown, Window value) noexcept nogil
cdef void put_scalar(Buffer* out, FieldKind kind, Window value) noexcept nogil
