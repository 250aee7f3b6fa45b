"""A gated fake model, and a batcher over it; tests ask for it as `kit`."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.scheduling.batcher import Batcher, Item
from segserve.scheduling.policy import BatchLimits

POISON = -1.0


class Observed:
    def __init__(self):
        self.sizes = []

    def batch_done(self, size, batch_s, infer_s):
        self.sizes.append(size)


class GatedModel:
    """Doubles its input once the gate is open; fails on batches that hold poison."""

    def __init__(self, *, is_open=True):
        self.gate = asyncio.Event()
        self.batches = []
        self.alone = []
        self.wrong_rows = False
        if is_open:
            self.gate.set()

    async def run(self, inputs, *, alone):
        x = inputs["x"]
        self.batches.append(x[..., 0].tolist())
        self.alone.append(alone)
        await self.gate.wait()
        if (x == POISON).any():
            raise BackendFailed("poisoned")
        return {"y": x[:1] if self.wrong_rows else x * 2}


def make(model, **limits):
    observed = Observed()
    limits = {"max_batch_size": 4, **limits}
    return Batcher(model, BatchLimits(**limits), observed), observed


def item(value, bucket="b", **fields):
    return Item({"x": np.array([value], np.float32)}, bucket, **fields)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def submit(batcher, *args, **fields):
    return asyncio.create_task(batcher.submit(item(*args, **fields)))


async def value(task):
    return float((await task).outputs["y"][0])


@pytest.fixture
def kit():
    return SimpleNamespace(
        POISON=POISON,
        GatedModel=GatedModel,
        make=make,
        item=item,
        settle=settle,
        submit=submit,
        value=value,
    )
