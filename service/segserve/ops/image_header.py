"""Format, size and orientation of an encoded image, from its header alone.

Sources: JPEG is ITU-T T.81 (markers, SOF), PNG is W3C PNG 3rd edition (IHDR, eXIf), WebP is
RFC 9649 (VP8, VP8L and VP8X chunks). No pixel is decoded and nothing is allocated by what the
bytes claim, so this is safe on the event loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from segserve.core.errors import InvalidInput, TooLarge
from segserve.ops.exif import Orientation, read_orientation

DEFAULT_MAX_PIXELS = 64_000_000
MAX_BLOCKS = 1024
"""Segments or chunks that are looked at; a picture has its size within the first few."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_STARTS_SCAN = 0xDA
_JPEG_END = 0xD9
_JPEG_EXIF = 0xE1


class ImageFormat(Enum):
    """The formats that are decoded."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"


@dataclass(frozen=True)
class ImageHeader:
    """What an image says about itself.

    Parameters
    ----------
    format : ImageFormat
    stored_width_px, stored_height_px : int
        Before the orientation is applied.
    orientation : Orientation
    channels : int
        JPEG: colour components (1, 3 or 4); 3 for the others.
    """

    format: ImageFormat
    stored_width_px: int
    stored_height_px: int
    orientation: Orientation = Orientation.UPRIGHT
    channels: int = 3

    @property
    def width_px(self) -> int:
        """Width of the upright picture."""
        return self.stored_height_px if self.orientation.swaps_sides else self.stored_width_px

    @property
    def height_px(self) -> int:
        """Height of the upright picture."""
        return self.stored_width_px if self.orientation.swaps_sides else self.stored_height_px

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the uint8 RGB picture."""
        return 3 * self.stored_width_px * self.stored_height_px


def read_header(
    data: bytes | bytearray | memoryview, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> ImageHeader:
    """Read the header of a JPEG, PNG or WebP image.

    Parameters
    ----------
    data : bytes-like
        The whole file.
    max_pixels : int
        Width times height may not be larger.

    Raises
    ------
    InvalidInput
        When the bytes are another format, are cut off, or make no sense.
    TooLarge
        When the picture has more than `max_pixels` pixels.
    """
    view = memoryview(data).cast("B")
    start = bytes(view[:16])
    try:
        if start.startswith(b"\xff\xd8"):
            header = _read_jpeg(view)
        elif start.startswith(_PNG_START):
            header = _read_png(view)
        elif start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            header = _read_webp(view)
        else:
            raise InvalidInput(
                f"only JPEG, PNG and WebP images are decoded, got {_guess(start)} of "
                f"{len(view)} bytes"
            )
    except (struct.error, IndexError):
        raise InvalidInput(
            f"the image is cut off: its header does not end within {len(view)} bytes"
        ) from None
    width, height = header.stored_width_px, header.stored_height_px
    if width == 0 or height == 0:
        raise InvalidInput(f"the {header.format.value} header says {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooLarge(
            f"the {header.format.value} header says {width}x{height} = {width * height} pixels, "
            f"the limit is {max_pixels}: send a smaller image, or raise --max-image-pixels"
        )
    return header


def _guess(start: bytes) -> str:
    known = {
        b"GIF8": "GIF",
        b"BM": "BMP",
        b"II*\x00": "TIFF",
        b"MM\x00*": "TIFF",
        b"%PDF": "PDF",
        b"\x00\x00\x00\x0cJXL ": "JPEG XL",
        b"\x00\x00\x00\x0cjP": "JPEG 2000",
        b"<": "SVG, XML or HTML",
    }
    if start[4:8] == b"ftyp":
        return "AVIF, HEIF or MP4"
    if not start:
        return "nothing"
    return next(
        (name for magic, name in known.items() if start.startswith(magic)), "an unknown format"
    )


def _jpeg_segments(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk over marker segments up to the first scan: marker code and body."""
    place = 2
    for _ in range(MAX_BLOCKS):
        lead, code = view[place], view[place + 1]
        if lead != 0xFF:  # noqa: PLR2004  every marker starts with 0xFF
            raise InvalidInput(f"the JPEG has no marker at byte {place}, got 0x{lead:02x}")
        if code == 0xFF:  # noqa: PLR2004  a fill byte
            place += 1
            continue
        place += 2
        if code in _JPEG_BARE:
            continue
        if code in (_JPEG_STARTS_SCAN, _JPEG_END):
            return
        length = view[place] << 8 | view[place + 1]
        if length < 2:  # noqa: PLR2004  the length counts its own two bytes
            raise InvalidInput(f"a JPEG segment at byte {place} has length {length}")
        yield code, view[place + 2 : place + length]
        place += length
    raise InvalidInput(f"the JPEG has no size within its first {MAX_BLOCKS} segments")


def _read_jpeg(view: memoryview) -> ImageHeader:
    orientation: Orientation | None = None
    for code, body in _jpeg_segments(view):
        if code == _JPEG_EXIF and orientation is None and bytes(body[:6]) == b"Exif\0\0":
            orientation = read_orientation(body[6:])
        if code in _JPEG_SIZES:
            _, height, width, channels = struct.unpack_from(">BHHB", body, 0)
            if channels not in (1, 3, 4):
                raise InvalidInput(f"a JPEG has 1, 3 or 4 components, got {channels}")
            upright = orientation or Orientation.UPRIGHT
            return ImageHeader(ImageFormat.JPEG, width, height, upright, channels)
    raise InvalidInput("the JPEG ends, or its first scan starts, before its size is given")


def _read_png(view: memoryview) -> ImageHeader:
    length, kind, width, height = struct.unpack_from(">I4sII", view, len(_PNG_START))
    if kind != b"IHDR" or length != 13:  # noqa: PLR2004  an IHDR is 13 bytes long
        raise InvalidInput(f"a PNG starts with a 13-byte IHDR chunk, got {length} bytes {kind!r}")
    exif = _find_chunk(view, len(_PNG_START), b"eXIf", ">I4s")
    orientation = Orientation.UPRIGHT if exif is None else read_orientation(exif)
    return ImageHeader(ImageFormat.PNG, width, height, orientation)


def _find_chunk(view: memoryview, place: int, wanted: bytes, layout: str) -> memoryview | None:
    """Find a chunk of a PNG or RIFF file by its four letters, skipping over the others' bodies."""
    png = layout == ">I4s"
    for _ in range(MAX_BLOCKS):
        if place + 8 > len(view):
            return None
        first, second = struct.unpack_from(layout, view, place)
        length, kind = (first, second) if png else (second, first)
        body = place + 8
        if kind == wanted:
            return view[body : body + length]
        place = body + length + (4 if png else length % 2)
    return None


def _read_webp(view: memoryview) -> ImageHeader:
    (kind,) = struct.unpack_from("4s", view, 12)
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", view, 24)
        exif = _find_chunk(view, 12, b"EXIF", "<4sI")
        orientation = Orientation.UPRIGHT
        if exif is not None:
            prefixed = bytes(exif[:6]) == b"Exif\0\0"
            orientation = read_orientation(exif[6:] if prefixed else exif)
        width = (low_width | high_width << 16) + 1
        height = (low_height | high_height << 16) + 1
        return ImageHeader(ImageFormat.WEBP, width, height, orientation)
    if kind == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", view, 23)
        if start != b"\x9d\x01\x2a":
            raise InvalidInput(f"a VP8 frame starts with 9d012a, got {start.hex()}")
        return ImageHeader(ImageFormat.WEBP, width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        signature, bits = struct.unpack_from("<BI", view, 20)
        if signature != 0x2F:  # noqa: PLR2004  the signature byte
            raise InvalidInput(f"a VP8L frame starts with 2f, got {signature:02x}")
        return ImageHeader(ImageFormat.WEBP, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    raise InvalidInput(f"a WebP's first chunk is VP8, VP8L or VP8X, got {kind!r}")
