"""Bad input gets a clear answer of the right kind, and the server goes on."""

import shutil
import struct
import zlib

import grpc
import httpx
import numpy as np
import pytest

DEMO = "deeplabv3plus_demo"


@pytest.fixture(scope="module")
def photo(repo_root):
    return (repo_root / "docs" / "images" / "coffee.jpg").read_bytes()


@pytest.fixture(scope="module")
def server(serve_module, repo_root, tmp_path_factory, models):
    """One for all tests: each leaves it as good as it found it, or the next one says so."""
    repository = tmp_path_factory.mktemp("models")
    models.identity(repository, dims=(4,))
    shutil.copytree(repo_root / "model_repository" / DEMO, repository / DEMO)
    flags = ("--model-repository", repository, "--max-request-bytes", 4_000_000)
    return serve_module(*flags).wait_started()


def png_header(width, height):
    """A PNG that promises a size and holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def post_image(server, data, model=DEMO):
    headers = {"Inference-Header-Content-Length": "0"}
    return httpx.post(
        f"{server.http}/v2/models/{model}/infer", content=data, headers=headers, timeout=30
    )


def test_images_that_are_none(server, photo):
    cases = {
        "truncated": (photo[: len(photo) // 2], "truncated|corrupt|end"),
        "bomb": (png_header(50_000, 50_000), "pixel"),
        "gif": (b"GIF89a" + bytes(100), "JPEG, PNG"),
        "nothing": (b"\x00", "JPEG, PNG"),
    }
    for name, (data, text) in cases.items():
        answer = post_image(server, data)
        assert answer.status_code == 400, name
        assert any(word in answer.json()["error"] for word in text.split("|")), (name, answer.text)
    assert post_image(server, photo).status_code == 200


def test_one_bad_image_costs_its_neighbours_nothing(server, photo):
    from concurrent.futures import ThreadPoolExecutor

    bad = photo[:3000]
    bodies = [photo, bad] * 8
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda data: post_image(server, data).status_code, bodies))
    assert codes == [200, 400] * 8


def test_wrong_tensors_over_http(server, infer):
    cases = [
        (infer(server, "nothing", [1.0], [1, 1]), 404, "unknown model: 'nothing' is not found"),
        (infer(server, "identity", [1.0], [1, 1]), 400, "unexpected shape for input 'x'"),
        (infer(server, "identity", [1.0, 2.0, 3.0], [1, 4]), 400, "x"),
        (infer(server, "identity", [1.0] * 4, [1, 2**62]), 400, "x"),
        (infer(server, "identity", [1.0] * 4, [1, -4]), 400, "x"),
        (
            httpx.post(server.http + "/v2/models/identity/infer", json={"inputs": []}),
            400,
            "expected 1 inputs but got 0 inputs",
        ),
        (httpx.post(server.http + "/v2/models/identity/infer", content=b"{"), 400, ""),
    ]
    for answer, code, text in cases:
        assert answer.status_code == code, answer.text
        assert text in answer.json()["error"]
    assert infer(server, "identity", [1.0] * 4, [1, 4]).status_code == 200


def test_a_message_over_the_limit_names_the_flag(server, photo):
    from segserve.client import Client, SegserveError

    answer = post_image(server, bytes(4_100_000))
    assert answer.status_code in (400, 413)
    assert "--max-request-bytes" in answer.json()["error"]
    with Client(server.grpc) as client, pytest.raises(SegserveError) as caught:
        client.segment(photo + bytes(5_000_000), DEMO)
    assert caught.value.kind.name == "TOO_LARGE"
    assert "--max-request-bytes" in caught.value.message


def test_an_expired_deadline_and_a_cancelled_call(server, photo):
    from segserve.generated.segserve.v1 import segmentation_pb2 as pb

    request = pb.SegmentRequest(model_name=DEMO)
    request.encoded = photo
    body = request.SerializeToString()
    with grpc.insecure_channel(server.grpc) as channel:
        segment = channel.unary_unary("/segserve.v1.Segmentation/Segment")
        with pytest.raises(grpc.RpcError) as caught:
            segment(body, timeout=0.000_1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        call = segment.future(body)
        call.cancel()
        assert call.cancelled()
        assert pb.SegmentResponse.FromString(segment(body, timeout=20)).width_px == 600


def test_numpy_in_is_what_comes_out(server, infer):
    values = np.linspace(-1, 1, 4, dtype=np.float32)
    answer = infer(server, "identity", values.tolist(), [1, 4])
    assert np.allclose(answer.json()["outputs"][0]["data"], values)
