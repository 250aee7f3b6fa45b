"""The permit at the door: how much all requests in the server may hold together."""

from __future__ import annotations

from segserve.core.errors import Overloaded, TooLarge
from segserve.execution.permit import BULK_SHARE, Permit

_RETRY_AFTER_S = 0.1


class Admission:
    """Counts bytes and requests; a request owns its permit to its end.

    Parameters
    ----------
    max_bytes : int
        What all admitted requests may be counted at together.
    max_requests : int
    """

    def __init__(self, *, max_bytes: int, max_requests: int) -> None:
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self.bytes_in_use = 0
        self.requests = 0

    def permit(self, cost_bytes: int, *, bulk: bool = False) -> Permit:
        """Take a permit for `cost_bytes`; whoever takes it releases it, best by ``with``.

        Bulk requests are let in up to three quarters of either limit, so that there is always room
        for interactive ones; one that is alone is let in whatever it needs, up to the limit.

        Raises
        ------
        TooLarge
            When the request could never be admitted.
        Overloaded
            When there is no room now.
        """
        if cost_bytes > self._max_bytes:
            raise TooLarge(
                f"the request would need {cost_bytes} bytes of memory, the server allows "
                f"{self._max_bytes} in all: send a smaller image, or raise --max-pending-bytes"
            )
        share = BULK_SHARE if bulk and self.requests else 1.0
        max_bytes = int(self._max_bytes * share)
        if self.requests >= max(1, int(self._max_requests * share)):
            raise Overloaded(
                f"Exceeds maximum queue size: {self.requests} requests are in the server",
                retry_after_s=_RETRY_AFTER_S,
            )
        if self.bytes_in_use + cost_bytes > max_bytes:
            raise Overloaded(
                f"Exceeds maximum queue size: the requests in the server hold {self.bytes_in_use} "
                f"of {max_bytes} bytes and this one needs {cost_bytes}",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.bytes_in_use += cost_bytes
        self.requests += 1
        return Permit(cost_bytes, self._give_back)

    def _give_back(self, cost_bytes: int) -> None:
        self.bytes_in_use -= cost_bytes
        self.requests -= 1
