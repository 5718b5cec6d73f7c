from typing import final

from typing_extensions import Self

from analytics.core.ledger import Ledger

ELEPHANT: str

@final
class Limits:
    def __new__(cls, ledger: Ledger, t: float, fading: float) -> Self: ...
