"""Refusals and model control, seen by tritonclient: ``triton_errors.py FLAVOUR ADDRESS PHOTO``."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from triton_calls import GRPC, ask, floats, infer, main, pair, refused, tensor
from tritonclient.utils import InferenceServerException

PHOTO = Path(sys.argv[3]).read_bytes()


async def case_wrong_input(client):
    x = floats(1, 3)
    unknown = infer(client, "nothing", {"x": x})
    await refused(unknown, "missing", "Request for unknown model: 'nothing' is not found")
    version = infer(client, "identity_FP32", {"x": x}, model_version="9")
    await refused(version, "missing", "Request for unknown model: 'identity_FP32' version 9")
    few = infer(client, "add_sub", {"INPUT0": floats(1, 4)})
    await refused(few, "invalid", "expected 2 inputs but got 1 inputs for model 'add_sub'")
    wide = infer(client, "add_sub", {**pair(1), "INPUT1": floats(1, 5)}, request_id="r1")
    await refused(
        wide,
        "invalid",
        "[request id: r1] unexpected shape for input 'INPUT1' for model 'add_sub'. "
        "Expected [-1,4], got [1,5]",
    )
    typed = infer(client, "identity_FP32", {"x": x.astype(np.float64)})
    await refused(
        typed,
        "invalid",
        "inference input 'x' data-type is 'FP64', but model 'identity_FP32' expects 'FP32'",
    )
    named = infer(client, "identity_FP32", {"z": x})
    await refused(named, "invalid", "z")


async def case_wrong_byte_count(client):
    given = tensor("x", floats(1, 4))
    setattr(given, "_raw_content" if GRPC else "_raw_data", bytes(12))
    if not GRPC:
        given._parameters["binary_data_size"] = 12
    call = ask(client, "infer", "identity_FP32", [given])
    text = "input byte size mismatch for input 'x' for model 'identity_FP32'. Expected 16, got 12"
    await refused(call, "invalid", text)


async def case_repository(client):
    index = await ask(client, "get_model_repository_index")
    models = {m["name"]: m for m in (index.get("models", []) if GRPC else index)}
    assert models["add_sub"]["state"] == "READY"
    assert models["add_sub"]["version"] == "1"
    assert "switch" in models
    await ask(client, "load_model", "switch")
    assert await ask(client, "is_model_ready", "switch")
    config = {"max_batch_size": 2}
    await ask(client, "load_model", "switch", config=json.dumps(config))
    told = await ask(client, "get_model_config", "switch")
    assert (told["config"] if GRPC else told)["max_batch_size"] == 2
    await ask(client, "unload_model", "switch")
    assert not await ask(client, "is_model_ready", "switch")
    gone = infer(client, "switch", {"x": floats(1, 2)})
    await refused(
        gone, "unavailable", "Request for unknown model: 'switch' has no available versions"
    )
    gone = infer(client, "switch", {"x": floats(1, 2)}, model_version="1")
    text = "Request for unknown model: 'switch' version 1 is not at ready state"
    await refused(gone, "unavailable", text)


async def case_failed_load(client):
    with pytest.raises(InferenceServerException, match="failed to load 'broken'"):
        await ask(client, "load_model", "broken")
    assert await ask(client, "is_model_ready", "add_sub")


async def case_load_of_nothing(client):
    with pytest.raises(InferenceServerException, match="failed to load 'absent'"):
        await ask(client, "load_model", "absent")
    assert await ask(client, "is_model_ready", "add_sub")


async def case_grpc_deadline(client):
    with pytest.raises(InferenceServerException) as caught:
        await infer(client, "patient", pair(1), client_timeout=0.05)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


async def case_not_offered(client):
    calls = [("get_system_shared_memory_status", ()), ("get_trace_settings", ())]
    for method, arguments in calls:
        with pytest.raises(InferenceServerException) as caught:
            await ask(client, method, *arguments)
        assert caught.value.message(), method


async def case_image_in(client):
    photos = np.array([PHOTO] * 6, object)
    result = await infer(client, "colours", {"image": photos})
    assert result.as_numpy("row_splits").tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert result.as_numpy("labels").tolist() == [0, 1, 2] * 6
    assert result.as_numpy("areas").tolist() == [300, 200, 100] * 6
    assert len(result.as_numpy("mask_rle")) == 18
    label_map = await infer(
        client, "colours", {"image": photos[:1]}, parameters={"mask_format": "raw"}
    )
    counts = np.bincount(label_map.as_numpy("label_map").ravel())
    assert counts.tolist() == [300, 200, 100]


async def case_broken_image_in(client):
    broken = infer(client, "colours", {"image": np.array([PHOTO, b"GIF89a"], object)})
    await refused(broken, "invalid", "JPEG")


main(globals())
