from types import TracebackType
from typing import final

from typing_extensions import Self

from analytics.core.counterstore import CounterStore
from analytics.core.flows.classifier import Classifier
from analytics.core.ledger import Ledger
from analytics.core.listener import Listener
from analytics.core.relay import Relay

@final
class Pipeline:
    def __new__(
        cls,
        seed: int,
        max_agents: int,
        max_sources: int,
        max_ledger_bytes: int,
        max_counter_bytes: int,
        max_microflow_bytes: int,
    ) -> Self: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def counters(self) -> CounterStore: ...
    @property
    def classifier(self) -> Classifier: ...
    @property
    def relay(self) -> Relay: ...
    def set_listener(self, listener: Listener) -> None: ...
    def __enter__(self) -> Pipeline: ...
    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def feed(self, datagrams: list[bytes], now: float, sender: bytes | None) -> None: ...
    def raise_failure(self) -> None: ...
    def numbers(self) -> dict[str, int]: ...
