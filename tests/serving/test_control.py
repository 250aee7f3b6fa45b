"""Loading, replacing, following, refusing."""

import asyncio
import gc
import shutil

import numpy as np
import pytest

from segserve.core.errors import InvalidInput, LoadFailed, NotFound, NotReady, Unavailable
from segserve.core.messages import InferRequest, ModelRef
from segserve.repository.store import RepositoryStore
from segserve.serving.control import ControlPolicy, ModelControl


async def scaled(house, name="scale"):
    x = np.ones((1, 1), np.float32)
    answer = await house.engine.infer(InferRequest(ModelRef(name), {"x": x}))
    return float(answer.outputs["y"][0, 0])


async def until(condition):
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("load", "ready"), [(("a",), True), (("*",), False)])
async def test_a_folder_that_no_model_can_be_called_by_fails_where_it_was_asked_for(
    open_house, repository, writers, caplog, load, ready
):
    writers.scale(repository, "a")
    shutil.copytree(repository / "a", repository / "a (copy)")
    house = await open_house("explicit", load=load)
    assert house.engine.ready() is ready
    events = {"model_refused": ready, "model_load_failed": not ready}
    assert {event: event in caplog.messages for event in events} == events


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


async def test_once_started_garbage_is_collected_again(open_house, repository, writers):
    writers.scale(repository, "a")
    gc.disable()  # as `segserve serve` does while it starts
    try:
        await open_house("none")
        assert gc.isenabled()
    finally:
        gc.enable()


async def test_other_modes_refuse_requests_to_load(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("none")
    with pytest.raises(Unavailable, match="--model-control-mode=explicit"):
        await house.engine.load_model("scale")


async def test_while_a_model_loads_its_callers_are_told_to_come_back(
    open_house, repository, writers
):
    writers.scale(repository)
    house = await open_house("explicit")
    hints = []
    loading = asyncio.create_task(house.engine.load_model("scale"))
    while not loading.done():
        await asyncio.sleep(0)
        hints.append(await hint(house, "scale"))
    await loading
    assert 1.0 in hints
    assert set(hints) <= {1.0, "served"}
    await house.engine.unload_model("scale")
    assert await hint(house, "scale") is None


async def test_before_the_repository_was_looked_at_no_model_is_missing(
    open_house, repository, writers
):
    house = await open_house("explicit")
    with pytest.raises(NotFound):
        await scaled(house)
    writers.scale(repository)
    policy = ControlPolicy("none", 1.0, (), 1)
    store = RepositoryStore([repository])
    control = ModelControl(policy, store, house.control._loader, house.registry)
    hints = [await hint(house, "scale")]
    starting = asyncio.create_task(control.start())
    while not starting.done():
        await asyncio.sleep(0)
        hints.append(await hint(house, "scale"))
    assert set(hints) == {1.0, "served"}
    assert await starting == ()
    with pytest.raises(NotFound):
        await scaled(house, "nothing")


async def hint(house, name):
    try:
        await scaled(house, name)
    except NotReady as error:
        return error.retry_after_s
    return "served"


async def test_a_failed_reload_keeps_the_old_version(open_house, repository, writers):
    folder = writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    (folder / "1" / "model.onnx").write_bytes(b"rubbish")
    with pytest.raises(LoadFailed, match=r"model\.onnx"):
        await house.engine.load_model("scale")
    assert await scaled(house) == 2.0
    assert house.engine.ready(), "the model has a version that serves"
    (row,) = house.engine.repository_index(ready_only=True)
    assert "model.onnx" in row.reason
    writers.scale(repository, factor=2.0)
    await house.engine.load_model("scale")
    assert house.engine.repository_index(ready_only=True)[0].reason == ""
    writers.scale(repository, factor=3.0)
    await house.engine.load_model("scale")
    assert await scaled(house) == 3.0


@pytest.mark.parametrize("config", ['{"max_batch_sze": 4}', "{", "[]", '{"max_batch_size": "x"}'])
async def test_a_config_that_is_none_is_the_callers_fault(open_house, repository, writers, config):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    for _ in ("served", "unloaded"):
        rows = house.engine.repository_index(ready_only=False)
        with pytest.raises(InvalidInput, match="load 'scale': the load request's config: "):
            await house.engine.load_model("scale", config_json=config)
        assert house.engine.ready()
        assert house.engine.repository_index(ready_only=False) == rows
        await house.engine.unload_model("scale")


async def test_a_config_that_cannot_be_served_is_the_models_failure(
    open_house, repository, writers
):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    for served in (True, False):
        with pytest.raises(LoadFailed, match="max_batch_size: got -1"):
            await house.engine.load_model("scale", config_json='{"max_batch_size": -1}')
        assert house.engine.ready() is served
        await house.engine.unload_model("scale")


@pytest.mark.parametrize("name", ["../x", "a/b", "bad name", "..", "typo"])
async def test_a_load_of_what_is_no_model_leaves_no_trace(open_house, repository, writers, name):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    rows = house.engine.repository_index(ready_only=False)
    with pytest.raises((InvalidInput, NotFound)):
        await house.engine.load_model(name)
    assert house.engine.ready()
    assert house.engine.repository_index(ready_only=False) == rows
    assert not house.control._locks


async def test_a_version_that_loads_beside_one_that_serves_leaves_the_server_ready(
    open_house, repository, writers
):
    writers.scale(repository)
    house = await open_house("explicit", load=("*",))
    seen = []
    house.engine.subscribe(lambda: seen.append(house.engine.ready()))
    writers.scale(repository, version=2)
    await house.engine.load_model("scale")
    assert len(seen) > 1
    assert all(seen)


async def test_a_failed_load_names_its_model_once(open_house, repository, writers):
    folder = writers.scale(repository)
    house = await open_house("explicit")
    (folder / "1" / "model.onnx").rename(folder / "1" / "other.onnx")
    with pytest.raises(LoadFailed, match=r"^failed to load 'scale', no version is available"):
        await house.engine.load_model("scale")
    (folder / "1" / "model.onnx").write_bytes(b"rubbish")
    with pytest.raises(LoadFailed, match=r"^failed to load 'scale', .*not an ONNX model"):
        await house.engine.load_model("scale")


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


async def test_poll_tells_of_folders_that_can_be_no_model(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("poll")
    (repository / "bad name" / "1").mkdir(parents=True)
    await until(lambda: has_failed(house, "bad name"))
    rows = {row.name: row.reason for row in house.engine.repository_index(ready_only=False)}
    assert "letters, digits" in rows["bad name"]
    shutil.rmtree(repository / "bad name")
    await until(lambda: is_gone(house, "bad name"))
    assert not house.control.failed("bad name")


async def test_subscribers_are_told_when_a_failed_model_goes(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house("poll")
    told = []
    house.engine.subscribe(lambda: told.append(house.engine.ready()))
    (repository / "z" / "01").mkdir(parents=True)
    await until(lambda: has_failed(house, "z"))
    assert told[-1] is False
    shutil.rmtree(repository / "z")
    await until(lambda: is_gone(house, "z"))
    assert told[-1] is True


async def test_subscribers_are_told_when_a_failed_model_is_unloaded(open_house, repository):
    (repository / "z" / "01").mkdir(parents=True)
    house = await open_house("explicit", load=("*",))
    told = []
    house.engine.subscribe(lambda: told.append(house.engine.ready()))
    await house.engine.unload_model("z")
    assert told[-1:] == [True]


async def has_failed(house, name):
    return house.control.failed(name)


async def is_ready(house, name):
    return house.engine.model_ready(ModelRef(name))


async def gives(house, name, value):
    return await scaled(house, name) == value


async def is_gone(house, name):
    return name not in house.registry.names()


async def test_an_unreadable_file_fails_its_model_alone(open_house, repository, writers):
    writers.scale(repository)
    bad = writers.scale(repository, "bad")
    (bad / "config.pbtxt").write_text(f'default_model_filename: "{"long" * 100}"')
    house = await open_house()
    assert await scaled(house) == 2.0
    rows = {row.name: row.reason for row in house.engine.repository_index(ready_only=False)}
    assert "cannot be read: File name too long" in rows["bad"]


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
