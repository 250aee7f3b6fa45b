"""The one EXIF tag that changes pixels: orientation (TIFF 6.0 layout, tag 0x0112)."""

from __future__ import annotations

import struct
from enum import IntEnum

_TAG = 0x0112
_SHORT = 3
_HEADER_BYTES = 8
_ENTRY_BYTES = 12
_MAX_ENTRIES = 512


class Orientation(IntEnum):
    """How stored pixels become the upright picture, by EXIF's numbers."""

    UPRIGHT = 1
    MIRRORED = 2
    TURNED_180 = 3
    FLIPPED = 4
    TRANSPOSED = 5
    TURNED_90_CW = 6
    TRANSVERSED = 7
    TURNED_90_CCW = 8

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self >= Orientation.TRANSPOSED


def read_orientation(tiff: memoryview) -> Orientation:
    """Read the orientation from an EXIF block.

    Parameters
    ----------
    tiff : memoryview of bytes
        From the byte-order mark on, without the leading ``Exif`` and two zero bytes.

    Returns
    -------
    orientation : Orientation
        UPRIGHT when the block is broken or has no such tag: a viewer shows the picture then, too.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None or len(tiff) < _HEADER_BYTES:
        return Orientation.UPRIGHT
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return Orientation.UPRIGHT
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    for place in range(start + 2, start + 2 + min(entries, _MAX_ENTRIES) * _ENTRY_BYTES, 12):
        if place + _ENTRY_BYTES > len(tiff):
            break
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, place)
        if tag == _TAG:
            known = kind == _SHORT and value in list(Orientation)
            return Orientation(value) if known else Orientation.UPRIGHT
    return Orientation.UPRIGHT
