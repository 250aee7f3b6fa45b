"""Request bodies: bounded, and decompressed as they come."""

import gzip
import json
import zlib

import pytest

INFER = "/v2/models/echo/infer"


def document(data=(1.0, 2.0), **fields):
    row = {"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return {"inputs": [row], **fields}


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_compressed_requests(http, name, pack):
    content = pack(json.dumps(document()).encode())
    answer = await http.post(INFER, content=content, headers={"content-encoding": name})
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gzip", gzip.compress(bytes(5_000_000)), 400),
        ("gzip", gzip.compress(b"{}" * 500, mtime=0)[:-9], 400),
        ("gzip", b"nonsense", 400),
        ("br", b"", 501),
        ("identity", b" " * 1_000_001, 400),
    ],
)
async def test_bodies_that_are_refused(http, name, content, code):
    answer = await http.post(INFER, content=content, headers={"content-encoding": name})
    assert answer.status_code == code
    if b" " in content[:1] or len(content) > 4000:
        assert "--max-request-bytes" in answer.json()["error"]


async def test_a_chunked_body_over_the_limit(http):
    async def chunks():
        for _ in range(20):
            yield bytes(100_000)

    answer = await http.post(INFER, content=chunks())
    assert answer.status_code == 400
    assert "--max-request-bytes" in answer.json()["error"]
