from typing import final

from typing_extensions import Self

@final
class Relay:
    def __new__(cls) -> Self: ...
    def set_targets(
        self,
        targets: list[
            tuple[list[bytes]] | tuple[list[bytes], list[tuple[bytes, int]], list[tuple[bytes, int]], list[bytes]]
        ],
    ) -> None: ...
    def take_waiting(self) -> list[tuple[int, bytes]]: ...
    def numbers(self) -> list[tuple[int, int, int]]: ...
