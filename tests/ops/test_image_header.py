"""Format, size and orientation from headers, and what hostile bytes may do: nothing."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput, TooLarge
from segserve.ops.exif import Orientation
from segserve.ops.image_header import MAX_BLOCKS, ImageFormat, read_header

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "how", "found"),
    [
        ("PNG", {}, ImageFormat.PNG),
        ("JPEG", {}, ImageFormat.JPEG),
        ("JPEG", {"progressive": True}, ImageFormat.JPEG),
        ("WEBP", {}, ImageFormat.WEBP),
        ("WEBP", {"lossless": True}, ImageFormat.WEBP),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, ImageFormat.WEBP),
    ],
)
def test_format_and_size(picture, encode, kind, how, found) -> None:
    header = read_header(memoryview(encode(picture, kind, **how)))
    assert header.format is found
    assert (header.width_px, header.height_px) == (61, 40)
    assert header.decoded_bytes == 61 * 40 * 3


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpeg_channels(picture, encode, mode: str) -> None:
    assert read_header(encode(picture, "JPEG", mode)).channels == len(mode)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", list(Orientation))
def test_orientation(picture, encode, kind: str, orientation: Orientation) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0)
    header = read_header(encode(picture, kind, exif=exif + b"\0\0\0\0"))
    assert header.orientation is orientation
    size = (40, 61) if orientation.swaps_sides else (61, 40)
    assert (header.width_px, header.height_px) == size


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(TooLarge, match=r"50000x50000 = 2500000000 pixels, the limit is 64000000"):
        read_header(png_header(50_000, 50_000))
    assert read_header(png_header(8000, 8000)).width_px == 8000
    with pytest.raises(TooLarge):
        read_header(png_header(8000, 8000), max_pixels=8000 * 8000 - 1)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", "nothing of 0 bytes"),
        (b"GIF89a" + bytes(20), "GIF"),
        (b"BM" + bytes(20), "BMP"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"hello world, I am text", "an unknown format"),
        (b"\xff\xd8", "cut off"),
        (b"\xff\xd8\xff\xe0\x00", "cut off"),
        (b"\xff\xd8hello", "no marker"),
        (b"\xff\xd8\xff\xd9", "before its size"),
        (b"\xff\xd8\xff\xda\x00\x02", "before its size"),
        (b"\xff\xd8\xff\xe0\x00\x01", "length 1"),
        (b"\xff\xd8\xff\xc0\x00\x08\x08\x00\x01\x00\x01\x02", "components"),
        (PNG, "cut off"),
        (PNG + chunk(b"IDAT", bytes(13)), "IHDR"),
        (png_header(0, 5), "0x5"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "cut off"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(40), "9d012a"),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(40), "2f"),
        (b"RIFF\0\0\0\0WEBPABCD" + bytes(40), "ABCD"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * (MAX_BLOCKS + 1), "no size"),
    ],
)
def test_broken_headers_are_named(data: bytes, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        read_header(data)


def test_many_small_chunks_are_not_walked_for_ever(own_cpu_s: Callable[[], float]) -> None:
    data = png_header(5, 5) + chunk(b"tEXt", b"") * 200_000
    start_s = own_cpu_s()
    assert read_header(data).orientation is Orientation.UPRIGHT
    assert own_cpu_s() - start_s < 0.1


STARTS = [b"", b"\xff\xd8\xff", PNG, png_header(3, 3), b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBP"]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
@settings(max_examples=400)
def test_hostile_bytes_raise_invalid_input_alone(start: bytes, rest: bytes) -> None:
    try:
        header = read_header(start + rest)
    except InvalidInput:
        return
    assert header.width_px * header.height_px > 0


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
@settings(max_examples=300)
def test_damaged_headers(picture, encode, place: int, patch: bytes) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        data = bytearray(encode(picture, kind))
        at = place % 60
        data[at : at + len(patch)] = patch
        try:
            read_header(data)
        except InvalidInput:
            continue


def test_any_bytes_like(picture, encode) -> None:
    data = encode(picture)
    want = read_header(data)
    assert read_header(bytearray(data)) == want
    assert read_header(memoryview(np.frombuffer(data, np.uint8))) == want
