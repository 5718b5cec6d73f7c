_Row = tuple[str, int, int, int, int, int, int, str]

STACK_NAMES: dict[int, str]
ROWS: tuple[_Row, ...]
KEY_SIZES: dict[str, int]
NOTES: int
FREE_SLOTS: tuple[int, ...]
