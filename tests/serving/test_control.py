"""Loading, replacing, following, refusing."""

import asyncio
import shutil

import numpy as np
import pytest

from segserve.core.errors import LoadFailed, NotFound, NotReady, Unavailable
from segserve.core.messages import InferRequest, ModelRef


async def scaled(house, name="scale"):
    x = np.ones((1, 1), np.float32)
    answer = await house.engine.infer(InferRequest(ModelRef(name), {"x": x}))
    return float(answer.outputs["y"][0, 0])


async def until(condition):
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_explicit_mode_loads_on_request(open_house, repository, writers):
    writers.scale(repository, "a")
    writers.scale(repository, "b")
    house = await open_house("explicit", load=("a",))
    assert await scaled(house, "a") == 2.0
    with pytest.raises((NotFound, NotReady)):
        await scaled(house, "b")
    await house.engine.load_model("b")
    assert await scaled(house, "b") == 2.0
    await house.engine.unload_model("b")
    with pytest.raises(NotReady):
        await scaled(house, "b")
    with pytest.raises(NotFound):
        await house.engine.load_model("c")
    with pytest.raises(NotFound):
        await house.engine.unload_model("c")


async def test_other_modes_refuse_requests_to_load(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("none")
    with pytest.raises(Unavailable, match="--model-control-mode=explicit"):
        await house.engine.load_model("scale")


async def test_a_failed_reload_keeps_the_old_version(open_house, repository, writers):
    folder = writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    (folder / "1" / "model.onnx").write_bytes(b"rubbish")
    with pytest.raises(LoadFailed, match=r"model\.onnx"):
        await house.engine.load_model("scale")
    assert await scaled(house) == 2.0
    assert not house.engine.ready()
    writers.scale(repository, factor=3.0)
    await house.engine.load_model("scale")
    assert await scaled(house) == 3.0
    assert house.engine.ready()


async def test_the_same_files_are_not_loaded_again(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    before = house.registry.get(ModelRef("scale"))
    await house.engine.load_model("scale")
    assert house.registry.get(ModelRef("scale")) is before


async def test_a_config_in_the_request(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    await house.engine.load_model("scale", config_json='{"max_batch_size": 3}')
    assert house.engine.model_config(ModelRef("scale")).max_batch_size == 3


async def test_poll_follows_additions_changes_and_removals(open_house, repository, writers):
    writers.scale(repository, "m")
    house = await open_house("poll")
    assert await scaled(house, "m") == 2.0
    writers.scale(repository, "m", version=2, factor=5.0)
    writers.scale(repository, "late")
    await until(lambda: is_ready(house, "late"))
    await until(lambda: gives(house, "m", 5.0))
    shutil.rmtree(repository / "m")
    await until(lambda: is_gone(house, "m"))


async def is_ready(house, name):
    return house.engine.model_ready(ModelRef(name))


async def gives(house, name, value):
    return await scaled(house, name) == value


async def is_gone(house, name):
    return name not in house.registry.names()


async def test_one_broken_model_leaves_the_others_serving(open_house, repository, writers):
    writers.scale(repository)
    broken = repository / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"")
    house = await open_house()
    assert await scaled(house) == 2.0
    assert house.control.failed("broken")
    assert not house.engine.ready()
    rows = {row.name: row for row in house.engine.repository_index(ready_only=False)}
    assert rows["broken"].state == "UNAVAILABLE"
    assert "model.onnx" in rows["broken"].reason
    assert [r.name for r in house.engine.repository_index(ready_only=True)] == ["scale"]
