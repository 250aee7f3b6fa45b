"""Where one model version's batches run: on the CPU's shared budget, or on threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from segserve.core.tensor import Tensors
from segserve.execution.backend import Backend, Stop, never
from segserve.execution.cpu_pool import CpuPool, Priority

T = TypeVar("T")
RunModel = Callable[[Tensors], Tensors]


class Instances:
    """Runs batches on the backends of one model version.

    Parameters
    ----------
    backends : sequence of Backend
        One that is reentrant and shared by all instances, or one per instance.
    count : int
        Batches that may run at the same time; the caller keeps to it.
    pool : CpuPool or None
        The CPU's budget for models on the CPU; None for models on a device, which get `count`
        threads of their own.
    leaves_a_core : bool
        Its runs may take seconds: with those of other such models they never hold all cores.
    widens : bool
        A run that has the CPU to itself may use all of the pool's cores.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        count: int,
        pool: CpuPool | None,
        *,
        leaves_a_core: bool = False,
        widens: bool = True,
    ) -> None:
        self.count = count
        self._leaves_a_core = leaves_a_core
        self._widens = widens and backends[0].widens
        self._backends = tuple(backends)
        self._free: SimpleQueue[Backend] = SimpleQueue()
        for backend in backends:
            self._free.put(backend)
        self._pool = pool
        self._threads = None if pool else ThreadPoolExecutor(count, "segserve-device")

    @property
    def device(self) -> str:
        """Where the model really runs."""
        return self._backends[0].device

    def spare(self) -> bool:
        """Whether what does not need the model would begin at once on another thread."""
        return self._pool is None or self._pool.spare()

    def run(
        self,
        work: Callable[[RunModel], T],
        *,
        alone: bool,
        bulk: bool = False,
        stop: Stop = never,
    ) -> asyncio.Future[T]:
        """Call ``work(run_model)`` on a thread, once there is a core or a device for it.

        The future gives what `work` gives, or raises what it raises.

        What `work` does before the model runs (looking at who still waits, stacking the batch) is
        done at the last moment, and not on the event loop.

        Parameters
        ----------
        alone : bool
            Nothing else of this model waits: with an idle CPU the run may use all its cores, if the
            backend can.
        bulk : bool
            On the CPU it goes behind interactive work.
        stop : Stop
            Tells when nobody waits for the answer any more; backends that can be stopped then
            raise Cancelled.

        Raises
        ------
        ShuttingDown
            When the pool is closed.
        """
        if self._pool is None:
            loop = asyncio.get_running_loop()
            job = partial(self._call, work, stop, wide=True)
            return loop.run_in_executor(self._threads, job)
        wide = alone and self._widens and self._pool.idle()
        return self._pool.run(
            partial(self._call, work, stop, wide=wide),
            priority=Priority.RUN,
            bulk=bulk,
            tokens=self._pool.cores if wide else 1,
            long=self._leaves_a_core,
        )

    def _call(self, work: Callable[[RunModel], T], stop: Stop, *, wide: bool) -> T:
        """Lend a backend to `work`; on the thread.

        A backend is given back when its run has really ended, whatever became of the caller.
        """
        if self._backends[0].reentrant:
            return work(partial(self._backends[0].run, wide=wide, stop=stop))
        backend = self._free.get()
        try:
            return work(partial(backend.run, wide=wide, stop=stop))
        finally:
            self._free.put(backend)

    async def close(self) -> None:
        """Free the model; nothing runs any more."""
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
        for backend in self._backends:
            await asyncio.to_thread(backend.close)
