_Row = tuple[str, int, int, int, int, int, int, str]

STACK_NAMES: dict[int, str]
ROWS: tuple[_Row, ...]
DERIVED: tuple[tuple[str, int, str], ...]
KEY_SIZES: dict[str, int]
NOTES: int
FREE_SLOTS: tuple[int, ...]
