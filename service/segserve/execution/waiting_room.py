"""The bound on images that wait to be decoded: their number, and the bytes they will need."""

from __future__ import annotations

from dataclasses import dataclass

from segserve.core.errors import Overloaded
from segserve.execution.permit import BULK_SHARE, Permit

_RETRY_AFTER_S = 0.1


@dataclass(frozen=True)
class RoomLimits:
    """What may wait at a time.

    Parameters
    ----------
    max_images : int
    max_bytes : int
        What they were counted at together.
    """

    max_images: int = 1024
    max_bytes: int = 2 << 30


class WaitingRoom:
    """Counts the images of all models that wait for a CPU thread, or are on it, to be decoded.

    One that is decoded on the thread that then runs its model is counted until that ends.

    Parameters
    ----------
    limits : RoomLimits
    """

    def __init__(self, limits: RoomLimits | None = None) -> None:
        self._limits = limits or RoomLimits()
        self.images = 0
        self.bytes_in_use = 0

    def enter(self, cost_bytes: int, *, bulk: bool) -> Permit:
        """Take a place; whoever takes it releases it.

        An image that is alone always has room: whether it is too large is decided at the door.

        Raises
        ------
        Overloaded
            When there is no room now; bulk work may fill three quarters of it only.
        """
        share = BULK_SHARE if bulk else 1.0
        most = max(1, int(self._limits.max_images * share))
        most_bytes = int(self._limits.max_bytes * share)
        if self.images >= most:
            raise Overloaded(
                f"Exceeds maximum queue size: {self.images} images wait to be decoded, "
                f"{self._name(bulk=bulk)} may be {most}: try again later, or raise "
                f"--cpu-queue-size",
                retry_after_s=_RETRY_AFTER_S,
            )
        if self.images and self.bytes_in_use + cost_bytes > most_bytes:
            raise Overloaded(
                f"Exceeds maximum queue size: images that wait to be decoded need "
                f"{self.bytes_in_use} bytes and this one {cost_bytes}, "
                f"{self._name(bulk=bulk)} may be {most_bytes}: try again later, or raise "
                f"--cpu-queue-bytes",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.images += 1
        self.bytes_in_use += cost_bytes
        return Permit(cost_bytes, self._leave)

    def _leave(self, cost_bytes: int) -> None:
        self.images -= 1
        self.bytes_in_use -= cost_bytes

    @staticmethod
    def _name(*, bulk: bool) -> str:
        return "for bulk work all" if bulk else "all"
