from typing import final

from typing_extensions import Self

from analytics.core.flows.definition import TestSettings
from analytics.core.flows.keyids import KeyIds
from analytics.core.ledger import Ledger

@final
class SequentialTest:
    def __new__(
        cls,
        ledger: Ledger,
        key_ids: KeyIds,
        limit: int,
        t: float,
        of_bytes: bool,
        value: float,
        timeout: float,
        settings: TestSettings,
    ) -> Self: ...
    def make_room(self, words: int, max_bytes: int, seed: int) -> None: ...
