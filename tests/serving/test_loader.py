"""What a load makes of config, files and family, and how it fails."""

import pytest

from segserve.core.messages import ModelRef
from segserve.execution.kernels import Kernels
from segserve.ops.kernel_cache import CacheKind, KernelCache
from segserve.ops.warm import KernelGroup, WarmedKernels
from segserve.serving import loader as loader_module


def error_of(house, name):
    (row,) = [r for r in house.engine.repository_index(ready_only=False) if r.name == name]
    return row.reason


async def test_parts_of_a_loaded_version(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    parts = house.registry.get(ModelRef("bright")).parts
    assert parts.family is not None
    assert parts.labels == ("dark", "bright")
    assert parts.instances.device == "cpu"
    assert (parts.instances.count, parts.lanes.main.prepared.rows) == (2, 2 * 2 * 4)
    assert parts.inputs[0].dims == (3, -1, -1)
    assert 'nv_model_load_duration_secs{model="bright",version="1"}' in (
        house.metrics.render().decode()
    )


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (("max_batch_size: 4", "max_batch_size: 0"), ["max_batch_size"]),
        (('"semantic"', '"semantik"'), ["semantik", "semantic"]),
        (("16x16", "sixteen"), ["warm_sizes", "sixteen"]),
        (("0.5,0.5,0.5", "0.5,0.5"), ["mean"]),
        (("dynamic_batching { }", "ensemble_scheduling { }"), ["ensemble"]),
        (("max_batch_size: 4", "max_batch_sice: 4"), ["max_batch_sice", "max_batch_size"]),
    ],
)
async def test_configs_that_cannot_be_served_say_why(
    open_house, repository, writers, change, texts
):
    folder = writers.bright(repository)
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace(*change, 1))
    house = await open_house()
    for text in texts:
        assert text in error_of(house, "bright")


async def test_what_nobody_foresaw_fails_that_model_alone(
    open_house, repository, writers, monkeypatch, caplog
):
    writers.bright(repository)
    writers.scale(repository)

    build = loader_module.build_family

    def crash(parameters, *args, **kwargs):
        if parameters:
            raise ZeroDivisionError("a bug")
        return build(parameters, *args, **kwargs)

    monkeypatch.setattr(loader_module, "build_family", crash)
    house = await open_house()
    assert "ZeroDivisionError" in error_of(house, "bright")
    assert house.engine.model_ready(ModelRef("scale"))
    assert house.engine.model_ready(ModelRef("scale"))
    assert "model_load_crashed" in [r.message for r in caplog.records]


async def test_what_runs_a_model_is_told(open_house, repository, writers, caplog):
    caplog.set_level("INFO")
    folder = writers.bright(repository)
    writers.scale(repository)
    text = (folder / "config.pbtxt").read_text() + (
        'instance_group { kind: KIND_GPU } parameters { key: "cuda_fallback" value '
        '{ string_value: "cpu" } }'
    )
    (folder / "config.pbtxt").write_text(text)
    await open_house()
    events = ("device_in_use", "device_fell_back")
    told = {r.model: r for r in caplog.records if r.message in events}
    assert (told["scale"].message, told["scale"].device) == ("device_in_use", "cpu")
    assert told["scale"].providers == ["CPUExecutionProvider"]
    if told["bright"].device == "cpu":
        assert told["bright"].message == "device_fell_back"
        assert told["bright"].why.startswith("the config asks for a GPU")


async def test_fields_without_effect_are_named(open_house, repository, writers, caplog):
    folder = writers.bright(repository)
    config = folder / "config.pbtxt"
    config.write_text(
        config.read_text()
        + "response_cache { enable: true }"
        + 'parameters { key: "inter_op_thread_cnt" value { string_value: "3" } }'
    )
    await open_house()
    named = {
        r.field: getattr(r, "hint", "")
        for r in caplog.records
        if r.message == "config_field_not_honoured"
    }
    assert named == {
        "response_cache.enable": "",
        "parameters[inter_op_thread_cnt]": "did you mean 'inter_op_thread_count'?",
    }


async def test_kernels_are_ready_before_an_image_model(
    open_house, repository, writers, monkeypatch
):
    asked = []

    def ready(self, groups):
        asked.append(set(groups))
        return real(self, groups)

    real = Kernels.ready
    monkeypatch.setattr(Kernels, "ready", ready)
    writers.bright(repository)
    await open_house()
    assert asked == [{KernelGroup.IMAGES, KernelGroup.LABEL_MAPS, KernelGroup.CRF}]


async def test_that_kernels_are_not_kept_is_told_once(
    open_house, repository, writers, monkeypatch, caplog
):
    warmed = WarmedKernels(0.1, 3, KernelCache(CacheKind.NONE, None), stale=False)
    monkeypatch.setattr(Kernels, "ready", lambda *_: warmed)
    for name in ("bright", "brighter"):
        writers.bright(repository, name)
    await open_house()
    assert caplog.messages.count("kernels_not_kept") == 1
