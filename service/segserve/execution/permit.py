"""A share of something bounded: taken at a door, owned by one request, given back once."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

BULK_SHARE = 0.75
"""The part of a bounded queue that bulk work may fill; the rest is kept for interactive work."""


class Permit:
    """What one request was counted at; given back by `release` or by leaving the ``with``.

    Parameters
    ----------
    cost_bytes : int
    give_back : callable
        Called once, with `cost_bytes`.
    """

    def __init__(self, cost_bytes: int, give_back: Callable[[int], None]) -> None:
        self.cost_bytes = cost_bytes
        self._give_back: Callable[[int], None] | None = give_back

    def release(self) -> None:
        """Give the permit back; a second time nothing happens."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self.cost_bytes)

    def __enter__(self) -> Permit:
        """Give the permit itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the permit back, whatever happened."""
        self.release()
