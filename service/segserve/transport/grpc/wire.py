"""Looking into protobuf messages without copying their large fields.

Wire format: https://protobuf.dev/programming-guides/encoding. What is unusual in a message (groups,
overlong numbers, a cut end) is left to protobuf itself: `scan` then gives None.
"""

from __future__ import annotations

from dataclasses import dataclass

from segserve.core.errors import InvalidInput

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MAX_TAG = 2**32
MAX_FIELDS = 100_000


@dataclass(frozen=True)
class Scan:
    """A message in two parts.

    Parameters
    ----------
    rest : bytes or memoryview
        The message without the wanted fields.
    found : tuple of (int, memoryview)
        Number and content of each wanted field, in order; views of the message.
    """

    rest: bytes | memoryview
    found: tuple[tuple[int, memoryview], ...]


def scan(data: memoryview, wanted: frozenset[int]) -> Scan | None:
    """Take length-delimited fields of the top level out of a message.

    Parameters
    ----------
    data : memoryview of bytes
    wanted : frozenset of int
        Field numbers.

    Returns
    -------
    Scan or None
        None when the message is not in the usual form, or broken: parse it in the ordinary way.

    Raises
    ------
    InvalidInput
        When the message has more than `MAX_FIELDS` fields on its top level.
    """
    found: list[tuple[int, memoryview]] = []
    others: list[memoryview] = []
    at, end, kept_from = 0, len(data), 0
    for _ in range(MAX_FIELDS):
        if at == end:
            others.append(data[kept_from:end])
            return Scan(_joined(others), tuple(found))
        field_start = at
        field = _field(data, at, end)
        if field is None:
            return None
        number, start, at = field
        if number in wanted:
            others.append(data[kept_from:field_start])
            found.append((number, data[start:at]))
            kept_from = at
    raise InvalidInput(f"the message has more than {MAX_FIELDS} fields on its top level")


def _joined(parts: list[memoryview]) -> bytes | memoryview:
    filled = [part for part in parts if part]
    return filled[0] if len(filled) == 1 else b"".join(filled)


def _field(data: memoryview, at: int, end: int) -> tuple[int, int, int] | None:
    """Give a field's number (0 unless it is length-delimited), start and end of its content."""
    tag = _varint(data, at, end)
    if tag is None or not 8 <= tag[0] < _MAX_TAG:  # noqa: PLR2004  number 1, wire type 0
        return None
    key, start = tag
    kind = key & 7
    if kind == _BYTES:
        length = _varint(data, start, end)
        if length is None or length[0] > end - length[1]:
            return None
        return key >> 3, length[1], length[1] + length[0]
    stop = _scalar_end(data, kind, start, end)
    return None if stop is None else (0, start, stop)


def _scalar_end(data: memoryview, kind: int, start: int, end: int) -> int | None:
    if kind == _VARINT:
        value = _varint(data, start, end)
        return None if value is None else value[1]
    size_bytes = _FIXED_BYTES.get(kind)
    return None if size_bytes is None or size_bytes > end - start else start + size_bytes


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int] | None:
    """Give a number and where it ends."""
    value = shift = 0
    for place in range(at, min(end, at + _MAX_VARINT_BYTES)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  the last byte's top bit is clear
            return value, place + 1
        shift += 7
    return None


def bytes_field_head(number: int, size_bytes: int) -> bytes:
    """Give tag and length that stand before the content of a length-delimited field."""
    return _number(number << 3 | _BYTES) + _number(size_bytes)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004  seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
