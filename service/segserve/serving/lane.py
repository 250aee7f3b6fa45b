"""The ways of an image through a model: with all others, or aside.

An image that is refined is answered when its refinement ends, a tenth of a second or more after its
network has run; so its run need not take a turn of those who wait for nothing else. Where all cores
are busy it is decoded and run aside: alone, on a thread that gives way to theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, replace

from segserve.core.errors import ServiceError
from segserve.execution.cpu_pool import CpuPool
from segserve.scheduling.batcher import Batcher
from segserve.scheduling.policy import BatchLimits
from segserve.scheduling.prepared import Prepared
from segserve.scheduling.slab import SlabAllocator

_LONGEST_ASIDE_S = 0.1
"""Of a run on a core of its own. Behind others who keep every core busy it takes ten times that."""


@dataclass(frozen=True)
class Lane:
    """A batcher, and the bounded memory for the images before it.

    Parameters
    ----------
    batcher : Batcher
    prepared : Prepared
    slabs : SlabAllocator
    decodes : bool
        Its images are decoded by the thread that runs them, and nowhere else.
    """

    batcher: Batcher
    prepared: Prepared
    slabs: SlabAllocator
    decodes: bool = False


@dataclass(frozen=True)
class Lanes:
    """The lanes of one model version.

    Parameters
    ----------
    main : Lane
    aside : Lane, optional
        None for a model that refines nothing, or has no thread aside.
    """

    main: Lane
    aside: Lane | None = None

    def choose(self, pool: CpuPool, bucket: Hashable, *, refined: bool) -> Lane:
        """Give the lane of an image.

        Parameters
        ----------
        pool : CpuPool
            Of the main lane.
        bucket : hashable
        refined : bool
            What the network gives is refined afterwards.
        """
        if self.aside is None or not refined or not pool.pressed():
            return self.main
        quick = self.main.batcher.row_s(bucket) <= _LONGEST_ASIDE_S
        return self.aside if quick else self.main

    def pending(self) -> int:
        """Images that wait for an instance."""
        return sum(lane.batcher.pending() for lane in self._all())

    async def close(self, reason: ServiceError, timeout_s: float) -> None:
        """Let what runs end, bounded, and fail what waits."""
        batchers = [lane.batcher for lane in self._all()]
        await asyncio.gather(*(batcher.drain(timeout_s) for batcher in batchers))
        for batcher in batchers:
            await batcher.close(reason)

    def _all(self) -> list[Lane]:
        return [self.main] if self.aside is None else [self.main, self.aside]


def aside_limits(limits: BatchLimits) -> BatchLimits:
    """Give the limits of a lane aside: image by image, and no waiting for more of them."""
    return replace(
        limits, max_batch_size=1, instances=1, preferred_batch_sizes=(), max_queue_delay_s=0.0
    )
