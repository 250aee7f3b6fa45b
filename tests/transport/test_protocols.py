"""One table of cases for both protocols."""

import grpc
import numpy as np
import pytest

CODES = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
}
GOOD = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
CONTENTS = {
    "FP32": "fp32_contents",
    "INT8": "int_contents",
    "UINT64": "uint64_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
}
FAILURES = [
    ("unknown model", "nothing", GOOD, {}, "NOT_FOUND", "unknown model: 'nothing' is not found"),
    ("full queue", "full", GOOD, {}, "UNAVAILABLE", "Exceeds maximum queue size"),
    ("failing model", "broken", GOOD, {}, "INTERNAL", "the model failed"),
    ("a bug", "bug", GOOD, {}, "INTERNAL", "ZeroDivisionError"),
    ("long text", "bad", GOOD, {}, "INVALID_ARGUMENT", "no good"),
    ("data-type", "echo", {**GOOD, "datatype": "FP31"}, {}, "INVALID_ARGUMENT", "FP31"),
    ("too few", "echo", {**GOOD, "data": [1.0]}, {}, "INVALID_ARGUMENT", "expected 2 elements"),
    ("huge", "echo", {**GOOD, "shape": [1, 2**62]}, {}, "INVALID_ARGUMENT", "'x'"),
    (
        "huge empty",
        "echo",
        {**GOOD, "shape": [0, 2**62, 9], "data": []},
        {},
        "INVALID_ARGUMENT",
        "",
    ),
    ("negative", "echo", {**GOOD, "shape": [1, -2]}, {}, "INVALID_ARGUMENT", "negative"),
    ("rank", "echo", {**GOOD, "shape": [1] * 40 + [2]}, {}, "INVALID_ARGUMENT", "32 dimensions"),
    (
        "narrow",
        "echo",
        {**GOOD, "datatype": "INT8", "data": [1, 300]},
        {},
        "INVALID_ARGUMENT",
        "does not fit INT8",
    ),
    ("sequence", "echo", GOOD, {"sequence_id": 5}, "UNIMPLEMENTED", "sequence_id"),
    ("timeout", "echo", GOOD, {"timeout": "soon"}, "INVALID_ARGUMENT", "'timeout'"),
    ("priority", "echo", GOOD, {"priority": -1}, "INVALID_ARGUMENT", "'priority'"),
]


def to_proto(pb, model, tensor, parameters):
    request = pb.ModelInferRequest(model_name=model, id="i1")
    row = request.inputs.add(
        name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
    )
    field = CONTENTS.get(tensor["datatype"], "fp32_contents")
    getattr(row.contents, field).extend(tensor["data"])
    for name, value in parameters.items():
        kind = {bool: "bool", int: "int64", str: "string", float: "double"}[type(value)]
        setattr(request.parameters[name], f"{kind}_param", value)
    return request


@pytest.fixture
def front():
    """Give the one that is compared with HTTP; both are compared in the tests of gRPC."""
    return "native"


@pytest.fixture(params=["grpc", "http"])
def ask(request):
    """Send a tensor; gives (status name, text, outputs, parameters)."""
    if request.param == "http":
        http = request.getfixturevalue("http")

        async def over_http(model, tensor, parameters):
            body = {"id": "i1", "inputs": [tensor], "parameters": parameters}
            answer = await http.post(f"/v2/models/{model}/infer", json=body)
            if answer.status_code != 200:
                assert answer.headers["content-type"] == "application/json"
                names = {code: name for name, code in CODES.items()}
                return names[answer.status_code], answer.json()["error"], None, None
            data = answer.json()
            assert (data["id"], data["model_version"]) == ("i1", "3")
            outputs = {row["name"]: (row["shape"], row["data"]) for row in data["outputs"]}
            return "OK", "", outputs, data.get("parameters", {})

        return over_http
    channel = request.getfixturevalue("channel")

    async def over_grpc(model, tensor, parameters):
        from segserve.generated.inference import grpc_service_pb2 as pb

        message = to_proto(pb, model, tensor, parameters)
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            answer = pb.ModelInferResponse.FromString(await call(message.SerializeToString()))
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details(), None, None
        assert (answer.id, answer.model_version) == ("i1", "3")
        outputs = {}
        for row, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
            dtype = {"FP32": "f4", "INT8": "i1", "UINT64": "u8", "INT64": "i8", "BOOL": "?"}
            values = np.frombuffer(raw, dtype[row.datatype]).tolist()
            outputs[row.name] = (list(row.shape), values)
        told = {
            n: getattr(p, p.WhichOneof("parameter_choice")) for n, p in answer.parameters.items()
        }
        return "OK", "", outputs, told

    return over_grpc


@pytest.mark.parametrize("case", FAILURES, ids=[case[0] for case in FAILURES])
async def test_failures(ask, case):
    _, model, tensor, parameters, code, text = case
    got_code, got_text, *_ = await ask(model, tensor, parameters)
    assert got_code == code, got_text
    assert text in got_text
    assert len(got_text) < 5000  # a header of gRPC, of which clients take 8 KiB


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", [0.5, -3.0]),
        ("INT8", [-128, 127]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("UINT64", [1, 2**64 - 1]),
        ("BOOL", [True, False]),
    ],
)
async def test_what_goes_in_comes_out(ask, datatype, data):
    tensor = {"name": "x", "datatype": datatype, "shape": [1, 2], "data": data}
    code, text, outputs, _ = await ask("echo", tensor, {})
    assert code == "OK", text
    assert outputs == {"x": ([1, 2], data)}


async def test_empty_tensors(ask):
    tensor = {"name": "x", "datatype": "FP32", "shape": [0, 2], "data": []}
    assert (await ask("echo", tensor, {}))[2] == {"x": ([0, 2], [])}


@pytest.mark.parametrize("value", [7, 7.0, "7"])
async def test_every_variant_of_a_number_is_taken(ask, engine, value):
    parameters = {"timeout": value, "priority": value, "mine": "kept", "triton_x": True}
    assert (await ask("echo", GOOD, parameters))[0] == "OK"
    got = engine.requests[-1]
    assert (got.queue_timeout_us, got.priority) == (7, 7)
    assert dict(got.parameters) == {"mine": "kept"}


async def test_times_of_the_phases_on_demand(ask):
    _, _, _, told = await ask("echo", GOOD, {"timing": True})
    assert (told["t_infer_us"], told["t_queue_us"], told["batch_size"]) == (2000, 0, 5)
    assert (await ask("echo", GOOD, {}))[3] == {}
