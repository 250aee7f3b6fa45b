"""Answers to the unmodified Python tritonclient: ``triton.py FLAVOUR ADDRESS``."""

import numpy as np
from triton_calls import GRPC, ask, floats, infer, main, pair, refused, tensor, triton

NUMBERS = {
    "BOOL": np.bool_,
    **{f"UINT{n}": np.dtype(f"u{n // 8}") for n in (8, 16, 32, 64)},
    **{f"INT{n}": np.dtype(f"i{n // 8}") for n in (8, 16, 32, 64)},
    **{f"FP{n}": np.dtype(f"f{n // 8}") for n in (16, 32, 64)},
}


async def case_health(client):
    assert await ask(client, "is_server_live") is True
    assert await ask(client, "is_server_ready") is True
    assert await ask(client, "is_model_ready", "add_sub") is True
    assert await ask(client, "is_model_ready", "add_sub", "1") is True
    assert await ask(client, "is_model_ready", "add_sub", "7") is False
    assert await ask(client, "is_model_ready", "nothing") is False


async def case_server_metadata(client):
    told = await ask(client, "get_server_metadata")
    assert told["name"]
    assert told["version"]
    assert "statistics" in told["extensions"]


async def case_model_metadata(client):
    told = await ask(client, "get_model_metadata", "add_sub")
    assert told["name"] == "add_sub"
    assert told["versions"] == ["1"]
    inputs = [(i["name"], i["datatype"], [int(n) for n in i["shape"]]) for i in told["inputs"]]
    assert inputs == [("INPUT0", "FP32", [-1, 4]), ("INPUT1", "FP32", [-1, 4])]
    assert [o["name"] for o in told["outputs"]] == ["OUTPUT0", "OUTPUT1"]
    missing = ask(client, "get_model_metadata", "nothing")
    await refused(missing, "missing", "Request for unknown model: 'nothing' is not found")


async def case_model_config(client):
    told = await ask(client, "get_model_config", "add_sub")
    config = told["config"] if GRPC else told
    assert config["name"] == "add_sub"
    assert config["max_batch_size"] == 4
    assert [(i["name"], i["data_type"]) for i in config["input"]] == [
        ("INPUT0", "TYPE_FP32"),
        ("INPUT1", "TYPE_FP32"),
    ]
    assert [int(n) for n in config["input"][0]["dims"]] == [4]


async def case_statistics(client):
    await infer(client, "add_sub", pair(3))
    told = await ask(client, "get_inference_statistics", "add_sub")
    (stats,) = told["model_stats"]
    assert (stats["name"], stats["version"]) == ("add_sub", "1")
    assert int(stats["inference_count"]) >= 3
    assert int(stats["execution_count"]) >= 1
    inside = stats["inference_stats"]
    counts = {int(inside[f"compute_{part}"]["count"]) for part in ("input", "infer", "output")}
    assert len(counts) == 1
    assert {"cache_hit", "cache_miss"} <= set(inside)
    everything = await ask(client, "get_inference_statistics")
    assert {"add_sub", "find"} <= {entry["name"] for entry in everything["model_stats"]}


async def case_http_statistics_are_numbers(client):
    told = await ask(client, "get_inference_statistics", "add_sub")
    assert isinstance(told["model_stats"][0]["inference_count"], int)
    assert isinstance(told["model_stats"][0]["inference_stats"]["success"]["ns"], int)


async def case_infer_numbers(client):
    for name, dtype in NUMBERS.items():
        array = np.arange(6).reshape(2, 3).astype(dtype)
        result = await infer(client, f"identity_{name}", {"x": array})
        back = result.as_numpy("y")
        assert back.dtype == array.dtype, name
        assert np.array_equal(back, array), name


async def case_infer_bytes(client):
    # ONNX strings are UTF-8
    array = np.array([[b"one", b"", "h\u00e9".encode()], [b"\x00a", b"x" * 5000, b"0"]], object)
    back = (await infer(client, "identity_BYTES", {"x": array})).as_numpy("y")
    assert back.tolist() == array.tolist()


async def case_infer_echoes(client):
    result = await infer(client, "add_sub", pair(1), request_id="req-7", model_version="1")
    told = result.get_response(as_json=True) if GRPC else result.get_response()
    assert told["id"] == "req-7"
    assert told["model_name"] == "add_sub"
    assert told["model_version"] == "1"
    newest = await infer(client, "add_sub", pair(1))
    told = newest.get_response(as_json=True) if GRPC else newest.get_response()
    assert told["model_version"] == "1"


async def case_a_large_batch_is_split_and_stitched(client):
    arrays = pair(11)
    result = await infer(client, "add_sub", arrays)
    assert np.array_equal(result.as_numpy("OUTPUT0"), arrays["INPUT0"] + 2)
    assert np.array_equal(result.as_numpy("OUTPUT1"), arrays["INPUT0"] - 2)


async def case_requested_outputs(client):
    wanted = [triton.InferRequestedOutput("OUTPUT1")]
    result = await infer(client, "add_sub", pair(2), outputs=wanted)
    assert result.as_numpy("OUTPUT0") is None
    assert result.as_numpy("OUTPUT1").shape == (2, 4)
    unknown = infer(client, "add_sub", pair(2), outputs=[triton.InferRequestedOutput("NONE")])
    await refused(unknown, "invalid", "NONE")


async def case_empty_output(client):
    found = await infer(client, "find", {"x": np.array([0, 3, 4], np.float32)})
    assert found.as_numpy("y").tolist() == [[1, 2]]
    nothing = await infer(client, "find", {"x": np.zeros(3, np.float32)})
    assert nothing.as_numpy("y").shape == (1, 0)


async def case_reshape(client):
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)
    result = await infer(client, "folded", {"x": rows})
    assert result.as_numpy("total").tolist() == [[15], [51]]
    assert result.as_numpy("columns").tolist() == [[[3, 5, 7]], [[15, 17, 19]]]
    told = await ask(client, "get_model_metadata", "folded")
    shapes = {t["name"]: [int(n) for n in t["shape"]] for t in (*told["inputs"], *told["outputs"])}
    assert shapes == {"x": [-1, 6], "total": [-1, 1], "columns": [-1, 1, 3]}
    refused_shape = infer(client, "folded", {"x": rows.reshape(2, 2, 3)})
    await refused(refused_shape, "invalid", "Expected [-1,6], got [2,2,3]")


async def case_priority_timeout_and_parameters(client):
    options = {"priority": 1, "timeout": 30_000_000, "parameters": {"seg_note": "a", "n": 3}}
    assert (await infer(client, "add_sub", pair(1), **options)).as_numpy("OUTPUT0").shape == (1, 4)


async def case_grpc_compression(client):
    result = await infer(client, "add_sub", pair(3), compression_algorithm="gzip")
    assert np.array_equal(result.as_numpy("OUTPUT1"), floats(3, 4) - 2)


async def case_http_compression(client):
    for way in ("gzip", "deflate"):
        options = {"request_compression_algorithm": way, "response_compression_algorithm": way}
        result = await infer(client, "add_sub", pair(3), **options)
        assert np.array_equal(result.as_numpy("OUTPUT1"), floats(3, 4) - 2)


async def case_http_json_tensors(client):
    given = tensor("x", floats(2, 3), binary_data=False)
    wanted = [triton.InferRequestedOutput("y", binary_data=False)]
    result = await ask(client, "infer", "identity_FP32", [given], outputs=wanted)
    assert np.array_equal(result.as_numpy("y"), floats(2, 3))


main(globals())
