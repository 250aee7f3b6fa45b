"""A small PNG reader for label maps: 8- and 16-bit grey, 8-bit palette, not interlaced.

Format: W3C PNG specification, third edition (chunks: 5.3, filters: 9.2).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.client.errors import unreadable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_GREY, _PALETTE = 0, 3
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)

Map = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class _Layout:
    width_px: int
    height_px: int
    pixel_bytes: int

    @property
    def row_bytes(self) -> int:
        return self.width_px * self.pixel_bytes


def read_label_map(data: bytes) -> Map:
    """Decode a label map; palette images give their indices.

    Parameters
    ----------
    data : bytes
        A whole PNG file.

    Returns
    -------
    uint8 or uint16 [H, W]

    Raises
    ------
    SegserveError
        When it is not such a PNG, or is damaged.
    """
    if data[: len(_SIGNATURE)] != _SIGNATURE:
        raise unreadable("the label map is not a PNG")
    chunks = _chunks(data)
    layout = _layout(chunks.get(b"IHDR", b""))
    size = layout.height_px * (layout.row_bytes + 1)
    try:
        raw = zlib.decompressobj().decompress(chunks.get(b"IDAT", b""), size + 1)
    except zlib.error as error:
        raise unreadable(f"the label map's PNG is damaged: {error}") from error
    if len(raw) != size:
        raise unreadable(f"the label map's PNG holds {len(raw)} bytes of pixels, expected {size}")
    rows = np.frombuffer(raw, np.uint8).reshape(layout.height_px, layout.row_bytes + 1)
    pixels = _unfilter(rows[:, 1:].copy(), rows[:, 0], layout.pixel_bytes)
    if layout.pixel_bytes == 1:
        return pixels
    return pixels.view(">u2").astype(np.uint16)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Gather the bodies of IHDR and IDAT, several IDAT joined."""
    found: dict[bytes, list[bytes]] = {}
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(name + body)):
            raise unreadable("the label map's PNG is damaged: wrong check sum or cut short")
        found.setdefault(name, []).append(body)
        at += 12 + length
    return {name: b"".join(bodies) for name, bodies in found.items()}


def _layout(header: bytes) -> _Layout:
    if len(header) != _HEADER.size:
        raise unreadable("the label map's PNG has no header")
    width_px, height_px, depth, colour, _, _, interlaced = _HEADER.unpack(header)
    if interlaced or (depth, colour) not in ((8, _GREY), (16, _GREY), (8, _PALETTE)):
        raise unreadable(
            f"the label map's PNG has {depth} bits of colour type {colour}, interlace {interlaced};"
            " only 8- and 16-bit grey and 8-bit palette without interlace are read"
        )
    return _Layout(width_px, height_px, depth // 8)


def _unfilter(
    rows: npt.NDArray[np.uint8], filters: npt.NDArray[np.uint8], pixel_bytes: int
) -> npt.NDArray[np.uint8]:
    """Undo the filters in place; plain and 'up' rows, which label maps mostly have, are fast."""
    above = np.zeros(rows.shape[1], np.uint8)
    for row, kind in zip(rows, filters.tolist(), strict=True):
        if kind == _SUB:
            pixels = row.reshape(-1, pixel_bytes)
            np.cumsum(pixels, axis=0, dtype=np.uint8, out=pixels)
        elif kind == _UP:
            row += above  # noqa: PLW2901  writes into `rows`
        elif kind in (_AVERAGE, _PAETH):
            row[:] = _sequential(row.tolist(), above.tolist(), kind, pixel_bytes)
        elif kind != _NONE:
            raise unreadable(f"the label map's PNG has an unknown row filter {kind}")
        above = row
    return rows


def _sequential(row: list[int], above: list[int], kind: int, pixel_bytes: int) -> list[int]:
    predict = _average if kind == _AVERAGE else _paeth
    for i, value in enumerate(row):
        left = row[i - pixel_bytes] if i >= pixel_bytes else 0
        corner = above[i - pixel_bytes] if i >= pixel_bytes else 0
        row[i] = (value + predict(left, above[i], corner)) & 0xFF
    return row


def _average(left: int, up: int, _corner: int) -> int:
    return (left + up) // 2


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    distances = abs(guess - left), abs(guess - up), abs(guess - corner)
    return (left, up, corner)[distances.index(min(distances))]
