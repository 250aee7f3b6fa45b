"""The order of stopping, and that it ends whatever hangs."""

import asyncio
import logging
import time
from types import SimpleNamespace

import pytest

from segserve.core.errors import LoadFailed
from segserve.lifetime import Application, StopTimes, listen, shut_down


class Fakes:
    """Servers, models and threads that note what is asked of them, and may hang."""

    def __init__(self, *, models_s=0.0, hanging=(), requests_s=0.0):
        self.noted = []
        self.hanging = hanging
        self.models_s, self.requests_s = models_s, requests_s

    def server(self, name):
        async def start():
            self.noted.append(f"start {name}")
            if name == "metrics":
                raise LoadFailed("taken")
            return 1

        async def end(step, grace_s):
            await asyncio.sleep(min(self.requests_s, grace_s))
            self.noted.append(f"{step} {name}")

        return SimpleNamespace(
            address="127.0.0.1",
            start=start,
            drain=lambda grace_s: end("drain", grace_s),
            stop=lambda grace_s: end("stop", grace_s),
        )

    async def stop_models(self):
        await asyncio.sleep(self.models_s)
        self.noted.append("models")

    async def wait_loads(self, timeout_s):
        if self.hanging:
            await asyncio.sleep(timeout_s)
        return self.hanging

    async def close_cpu(self):
        self.noted.append("cpu")

    def gpus(self):
        return SimpleNamespace(
            start=lambda: self.noted.append("start gpus"),
            stop=lambda: self.noted.append("stop gpus"),
        )

    def application(self, exit_timeout_s):
        return Application(
            stop_times=StopTimes(0.0, exit_timeout_s),
            engine=SimpleNamespace(
                begin_drain=lambda: self.noted.append("not ready"), stop=self.stop_models
            ),
            control=SimpleNamespace(wait_loads=self.wait_loads),
            cpu=SimpleNamespace(close=self.close_cpu),
            metrics=None,
            gpus=self.gpus(),
            grpc=self.server("grpc"),
            http=self.server("http"),
            metrics_server=self.server("metrics"),
        )


async def test_http_and_metrics_answer_until_all_else_has_ended():
    fakes = Fakes()
    assert await shut_down(fakes.application(5.0)) is True
    order = [["not ready"], ["stop grpc", "drain http"], ["models", "cpu"]]
    order.append(["stop http", "stop metrics", "stop gpus"])
    assert fakes.noted == [step for steps in order for step in steps]


async def test_a_load_that_hangs_is_named_and_left(caplog):
    fakes = Fakes(hanging=("big",))
    start_s = time.monotonic()
    with caplog.at_level(logging.INFO):
        assert await shut_down(fakes.application(30.0)) is False
    assert time.monotonic() - start_s < 2
    (record,) = [r for r in caplog.records if r.message == "load_abandoned"]
    assert record.models == ["big"]


async def test_requests_and_models_share_the_time(caplog):
    fakes = Fakes(requests_s=60, models_s=60)
    start_s = time.monotonic()
    assert await shut_down(fakes.application(0.2)) is False
    assert time.monotonic() - start_s < 2
    assert "exit_timed_out" in caplog.messages
    assert fakes.noted[-3:] == ["stop http", "stop metrics", "stop gpus"]


async def test_ports_are_opened_in_order_and_a_failure_is_told():
    fakes = Fakes()
    with pytest.raises(LoadFailed, match="taken"):
        await listen(fakes.application(1.0))
    assert fakes.noted == ["start grpc", "start http", "start metrics"]
