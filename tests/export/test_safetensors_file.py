import json
import struct

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.safetensors_file import read_safetensors  # noqa: E402  same


def write(path, header, data=b"\0" * 24):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype="F32", shape=(2, 3), span=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


def test_values(tmp_path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("I32", (1,), (16, 20)),
        "a": entry("F32", (2, 2), (0, 16)),
        "none": entry("F32", (0, 4), (20, 20)),
    }
    data = struct.pack("<4fi", 1, 2, 3, 4, -5)
    got = read_safetensors(write(tmp_path / "x.safetensors", header, data))
    assert got["a"].tolist() == [[1, 2], [3, 4]]
    assert got["b"].tolist() == [-5]
    assert got["none"].shape == (0, 4)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        ({"a": 1}, "'a'.*dtype"),
        ({"a": entry("F4")}, "'a'.*dtype"),
        ({"a": entry(shape=(2, -3))}, "shape"),
        ({"a": entry(span=(0, 20))}, "expected 24 bytes"),
        ({"a": entry(span=(4, 28))}, "within 24"),
        ({"a": entry(span=(0, 8, 24))}, "data_offsets"),
        ({"a": entry(span=(24, 0))}, "data_offsets"),
    ],
)
def test_a_damaged_file(tmp_path, header, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_safetensors(write(tmp_path / "x.safetensors", header))


def test_a_header_longer_than_the_file(tmp_path) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    with pytest.raises(InvalidInput, match="header would take"):
        read_safetensors(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"abc")
    with pytest.raises(InvalidInput, match="header"):
        read_safetensors(tmp_path / "x")
