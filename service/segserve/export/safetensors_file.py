"""The safetensors format: a JSON header of names, dtypes, shapes and spans, then the bytes.

From the format's description in github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from segserve.core.errors import InvalidInput

_MAX_HEADER_BYTES = 100_000_000
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(path: Path) -> bool:
    """Whether a file is named so, or begins so: with a length under a terabyte, and JSON."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        head = file.read(9)
    return head[5:] == b"\0\0\0{"


def _header(file: BinaryIO, size_bytes: int) -> tuple[dict[str, Any], int]:
    """Read the header; gives it and the position of the first value."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(_MAX_HEADER_BYTES, size_bytes - 8):
        raise InvalidInput(f"this is no safetensors file: its header would take {length} bytes")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"this is no safetensors file: its header is no JSON: {error}"
        ) from error
    if not isinstance(header, dict):
        raise InvalidInput("this is no safetensors file: its header is no JSON object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _counts(entry: dict[str, Any], field: str, name: str) -> list[int]:
    values = entry.get(field)
    if not isinstance(values, list) or any(type(v) is not int or v < 0 for v in values):
        raise InvalidInput(f"tensor {name!r}: {field} is {values!r}; expected a list of counts")
    return values


def _tensor(file: BinaryIO, name: str, entry: Any, start: int, size_bytes: int) -> Tensor:
    if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
        raise InvalidInput(f"tensor {name!r}: expected a dtype of {', '.join(_DTYPES)}")
    shape, span = _counts(entry, "shape", name), _counts(entry, "data_offsets", name)
    dtype = _DTYPES[entry["dtype"]]
    expected_bytes = math.prod(shape) * dtype.itemsize
    begin, end = span if len(span) == 2 else (0, -1)  # noqa: PLR2004  begin and end
    if end - begin != expected_bytes or start + end > size_bytes:
        raise InvalidInput(
            f"tensor {name!r}: got data_offsets {span}, expected {expected_bytes} bytes "
            f"within {size_bytes - start}: the file is damaged"
        )
    if expected_bytes == 0:
        return torch.empty(shape, dtype=dtype)
    file.seek(start + begin)
    data = bytearray(file.read(expected_bytes))
    return torch.frombuffer(data, dtype=dtype).reshape(shape)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file.

    Raises
    ------
    InvalidInput
        The file is damaged or no safetensors file.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        header, start = _header(file, size_bytes)
        return {n: _tensor(file, n, entry, start, size_bytes) for n, entry in header.items()}
