"""A batcher over a gated fake model."""

import asyncio

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.scheduling.batcher import Batcher, Item
from segserve.scheduling.policy import BatchLimits


class GatedModel:
    """Doubles its input; poison fails; a batch begins at once and ends when the gate is open."""

    POISON = -1.0

    def __init__(self, *, is_open=True):
        self.gate = asyncio.Event()
        self.batches = []
        self.alone = []
        self.wrong_rows = False
        self.has_spare = True
        if is_open:
            self.gate.set()

    def __call__(self, inputs):
        x = inputs["x"]
        self.batches.append(x[..., 0].tolist())
        if (x == self.POISON).any():
            raise BackendFailed("poisoned")
        return {"y": x[:1] if self.wrong_rows else x * 2}

    def spare(self):
        return self.has_spare

    async def run(self, work, *, alone, **told):
        self.alone.append(alone)
        try:
            return work(self)
        finally:
            await self.gate.wait()


class Desk:
    """A batcher, the model behind it and the batches it was told of."""

    def __init__(self, model, **limits):
        self.model = model
        self.sizes = []
        self.batcher = Batcher(model, BatchLimits(**{"max_batch_size": 4, **limits}), self)

    def batch_done(self, size, batch_s, infer_s):
        assert batch_s >= 0
        assert infer_s >= 0
        self.sizes.append(size)

    def item(self, value, bucket="b", **fields):
        return Item({"x": np.array([value], np.float32)}, bucket, **fields)

    def submit(self, value, bucket="b", **fields):
        return asyncio.create_task(self.batcher.submit(self.item(value, bucket, **fields)))

    async def busy(self, value=0.0, bucket="b", **fields):
        """Fill one slot; the model's gate is shut."""
        task = self.submit(value, bucket, **fields)
        await self.settle()
        return task

    @staticmethod
    async def settle():
        for _ in range(5):
            await asyncio.sleep(0)

    @staticmethod
    async def value(task):
        return float((await task).outputs["y"][0])


@pytest.fixture
def open_desk():
    """Makes a desk whose model answers at once."""
    return lambda **limits: Desk(GatedModel(), **limits)


@pytest.fixture
def shut_desk():
    """Makes a desk whose model ends nothing before its gate is opened."""
    return lambda **limits: Desk(GatedModel(is_open=False), **limits)


@pytest.fixture
def desk_over():
    """Makes a desk over any slots."""
    return Desk
