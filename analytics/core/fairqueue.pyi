from typing import final

@final
class FairQueue:
    @property
    def share(self) -> int: ...
    def arranged(self, datagrams: list[bytes], stands: bool, now: float) -> list[bytes]: ...
