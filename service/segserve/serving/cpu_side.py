"""What all models of a server share of the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from segserve.execution.cpu_pool import CpuPool
from segserve.execution.waiting_room import WaitingRoom
from segserve.serving.refine_queue import RefineQueue


@dataclass(frozen=True)
class CpuSide:
    """Threads, and the bounded queues before them.

    Parameters
    ----------
    pool : CpuPool
        The threads and the one budget of core tokens.
    aside : CpuPool
        Threads that give way to those of `pool`: they run what is refined where no core is free.
    room : WaitingRoom
        Images that wait to be decoded.
    refinements : RefineQueue
        The threads that refine maps.
    worker_bytes : int
        Address space of a library's worker process; 0 for no limit.
    """

    pool: CpuPool
    aside: CpuPool
    room: WaitingRoom
    refinements: RefineQueue
    worker_bytes: int = 0

    async def close(self) -> None:
        """End the threads; what waits is refused, what runs ends."""
        await self.refinements.close()
        await self.aside.close()
        await self.pool.close()
