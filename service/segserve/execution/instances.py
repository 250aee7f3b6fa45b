"""Where one model version's batches run: on the CPU's shared budget, or on threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from segserve.core.tensor import Tensors
from segserve.execution.backend import Backend
from segserve.execution.cpu_pool import CpuPool, Priority


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
    """

    def __init__(self, backends: Sequence[Backend], count: int, pool: CpuPool | None) -> None:
        self.count = count
        self._backends = tuple(backends)
        self._free = list(backends)
        self._pool = pool
        self._threads = None if pool else ThreadPoolExecutor(count, "segserve-device")

    @property
    def device(self) -> str:
        """Where the model really runs."""
        return self._backends[0].device

    async def run(self, inputs: Tensors, *, alone: bool) -> Tensors:
        """Run one batch.

        Parameters
        ----------
        alone : bool
            Nothing else of this model waits: with an idle CPU the run may use all its cores.

        Raises
        ------
        BackendFailed
            When the model fails.
        """
        backend = self._checkout()
        try:
            return await self._run_on(backend, inputs, alone=alone)
        finally:
            self._check_in(backend)

    async def _run_on(self, backend: Backend, inputs: Tensors, *, alone: bool) -> Tensors:
        if self._pool is None:
            work = partial(backend.run, inputs, wide=True)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        wide = alone and self._pool.idle()
        return await self._pool.run(
            partial(backend.run, inputs, wide=wide),
            priority=Priority.RUN,
            tokens=self._pool.cores if wide else 1,
        )

    def _checkout(self) -> Backend:
        if self._backends[0].reentrant:
            return self._backends[0]
        return self._free.pop()

    def _check_in(self, backend: Backend) -> None:
        if not backend.reentrant:
            self._free.append(backend)

    async def close(self) -> None:
        """Free the model; nothing runs any more."""
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
        for backend in self._backends:
            await asyncio.to_thread(backend.close)
