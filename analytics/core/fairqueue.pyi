from typing import final

@final
class FairQueue:
    @property
    def share(self) -> int: ...
    def arranged(self, datagrams: list[bytes], is_full: bool, now: float) -> list[bytes]: ...
