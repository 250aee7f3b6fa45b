"""Hours in small: mixed load with bad callers and reloads, and nothing may pile up.

The default run takes a few seconds of it; ``make soak`` takes the long one.
"""

import asyncio
import io
import random
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from segserve.scenes import make_scene

DEMO = "deeplabv3plus_demo"
SEGMENT = "/segserve.v1.Segmentation/Segment"
INFER = "/inference.GRPCInferenceService/ModelInfer"
UNLOAD = "/inference.GRPCInferenceService/RepositoryModelUnload"
LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field; by hand, as the two APIs' stubs share no process."""
    size, head = len(data), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + data


def segment(image: bytes, model=DEMO) -> bytes:
    return field(1, model.encode()) + field(4, image)


def tensor(values: np.ndarray, model="identity") -> bytes:
    rows, columns = values.shape
    described = field(1, b"x") + field(2, b"FP32") + field(3, bytes([rows, columns]))
    return field(1, model.encode()) + field(5, described) + field(7, values.tobytes())


class Callers:
    """Good, bad and impatient callers over one channel; counts what they were told."""

    def __init__(self, channel, seed):
        self.calls = {
            path: channel.unary_unary(path) for path in (SEGMENT, INFER, LOAD, UNLOAD)
        }  # fmt: skip
        self.chance = random.Random(seed)
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.images = [self._image(n) for n in range(12)]
        self.actions = [
            *[self.picture] * 8,
            *[self.numbers] * 6,
            self.cut_off,
            self.mutated,
            self.unknown,
            self.too_wide,
            self.hurried,
            self.gone,
            self.reloading,
        ]

    def _image(self, seed):
        height, width = self.chance.randint(20, 400), self.chance.randint(20, 400)
        out = io.BytesIO()
        picture = Image.fromarray(make_scene(seed, height, width).image)
        picture.save(out, self.chance.choice(["JPEG", "PNG", "WEBP"]))
        return out.getvalue()

    async def until(self, end_s):
        while time.monotonic() < end_s:
            await self.chance.choice(self.actions)()

    async def _ask(self, path, message, *, may_fail=True, timeout_s=30.0):
        try:
            await self.calls[path](message, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            self.told[error.code().name] += 1
            if not may_fail or error.code() not in REFUSALS:
                self.wrong.append(f"{path}: {error.code()} {error.details()}")
        else:
            self.told["OK"] += 1

    async def picture(self):
        await self._ask(SEGMENT, segment(self.chance.choice(self.images)), may_fail=False)

    async def numbers(self):  # the model may be away: `reloading`
        await self._ask(INFER, tensor(np.ones((self.chance.randint(1, 9), 4), np.float32)))

    async def cut_off(self):
        image = self.chance.choice(self.images)
        await self._ask(SEGMENT, segment(image[: self.chance.randint(1, len(image) - 1)]))

    async def mutated(self):
        good = self.chance.choice([segment(self.images[0]), tensor(np.ones((2, 4), np.float32))])
        data = bytearray(good)
        for _ in range(self.chance.randint(1, 30)):
            data[self.chance.randrange(len(data))] = self.chance.randrange(256)
        await self._ask(self.chance.choice([SEGMENT, INFER]), bytes(data))

    async def unknown(self):
        await self._ask(SEGMENT, segment(self.images[0], "nobody"))

    async def too_wide(self):
        await self._ask(INFER, tensor(np.ones((2, 5), np.float32)))

    async def hurried(self):
        message = segment(self.chance.choice(self.images))
        await self._ask(SEGMENT, message, timeout_s=self.chance.random() * 0.02 + 1e-3)

    async def gone(self):
        call = self.calls[SEGMENT](segment(self.chance.choice(self.images)))
        await asyncio.sleep(self.chance.random() * 0.02)
        call.cancel()
        self.told["cancelled"] += 1

    async def reloading(self):
        for path in (UNLOAD, LOAD):
            await self._ask(path, field(2, b"identity"))


def resources(pid):
    status = Path(f"/proc/{pid}/status").read_text().split("\n")
    values = dict(line.split(":", 1) for line in status if line)
    return {
        "rss_mb": int(values["VmRSS"].split()[0]) / 1024,
        "threads": int(values["Threads"]),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


async def load(server, seconds, seed):
    told: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        callers = [Callers(channel, seed * 100 + n) for n in range(6)]
        end_s = time.monotonic() + seconds
        async with asyncio.timeout(seconds + 60):
            await asyncio.gather(*(caller.until(end_s) for caller in callers))
        for caller in callers:
            told += caller.told
            assert caller.wrong == []
    return told


@pytest.mark.parametrize(
    "seconds",
    [4, pytest.param(240, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
async def test_nothing_piles_up(serve, repo_root, repository, models, seconds):
    models.identity(repository, dims=(4,))
    flags = ("--model-repository", repository, "--model-repository", repo_root / "model_repository")
    control = ("--model-control-mode", "explicit", "--load-model", DEMO, "--load-model", "identity")
    server = serve(*flags, *control, "--max-concurrent-rpcs", 100).wait_started()
    await load(server, seconds / 2, seed=1)
    before = resources(server.process.pid)
    told = await load(server, seconds, seed=2)
    await asyncio.sleep(1)
    after = resources(server.process.pid)
    print(f"{dict(told)}, {before} -> {after}")
    assert told["OK"] > 5 * seconds
    assert {"INVALID_ARGUMENT", "NOT_FOUND", "cancelled"} <= set(told)
    assert after["rss_mb"] < before["rss_mb"] + 80
    assert after["threads"] <= before["threads"] + 2
    assert after["files"] <= before["files"] + 8
    metrics = await asyncio.to_thread(httpx.get, server.metrics)
    pending = [
        line
        for line in metrics.text.splitlines()
        if line.startswith("nv_inference_pending_request_count{") and not line.endswith(" 0.0")
    ]
    assert pending == []
    crashes = [e for e in server.events if e["event"] in ("call_crashed", "batcher_broken", "?")]
    assert crashes == []
    assert server.stop() == 0
