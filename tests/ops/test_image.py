"""Decoding every kind of image, against Pillow."""

import io
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from segserve.core.errors import InvalidInput, TooLarge
from segserve.ops.exif import Orientation
from segserve.ops.image import decode, upright


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_pillow_bit_for_bit(picture, encode, quality, subsampling, progressive) -> None:
    data = encode(
        picture, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
    )
    np.testing.assert_array_equal(decode(data), by_pillow(data))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "1"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "RGBA"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
    ],
)
def test_every_kind_equals_pillow(picture, encode, kind: str, mode: str) -> None:
    data = encode(picture, kind, mode)
    got = decode(memoryview(data))
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, by_pillow(data))


def test_transparent_palette(picture) -> None:
    out = io.BytesIO()
    Image.fromarray(picture).quantize(8).save(out, "PNG", transparency=3)
    np.testing.assert_array_equal(decode(out.getvalue()), by_pillow(out.getvalue()))


def test_alpha_is_dropped_not_blended() -> None:
    pixels = np.full((3, 4, 4), 200, np.uint8)
    pixels[..., 3] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    assert (decode(out.getvalue()) == 200).all()


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    want = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(decode(out.getvalue()), want)


def test_16_bit_colour_keeps_the_upper_byte() -> None:
    cv2 = pytest.importorskip("cv2")
    colour = np.random.default_rng(0).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    data = cv2.imencode(".png", colour[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode(data), (colour >> 8).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(picture, kind: str) -> None:
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(decode(out.getvalue()), picture)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", list(Orientation))
def test_orientation_equals_pillow(picture, encode, kind, orientation) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0)
    data = encode(picture, kind, exif=exif + b"\0\0\0\0")
    np.testing.assert_array_equal(decode(data), by_pillow(data))


def test_upright_by_hand() -> None:
    stored = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(
        upright(stored, Orientation.TURNED_90_CW), [[4, 1], [5, 2], [6, 3]]
    )
    np.testing.assert_array_equal(upright(stored, Orientation.MIRRORED), stored[:, ::-1])


def test_smaller_decoding_keeps_the_minimum(encode) -> None:
    big = np.zeros((400, 640, 3), np.uint8)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0)
    assert decode(encode(big, "JPEG"), min_size_px=(100, 160)).shape == (100, 160, 3)
    height, width, _ = decode(encode(big, "JPEG"), min_size_px=(101, 10)).shape
    assert 101 <= height < 400
    assert width < 640
    turned = decode(encode(big, "JPEG", exif=exif + b"\0\0\0\0"), min_size_px=(160, 100))
    assert turned.shape == (160, 100, 3)
    assert decode(encode(big, "PNG"), min_size_px=(100, 160)).shape == (400, 640, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_is_refused(encode, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = encode(noise, kind)
    with pytest.raises(InvalidInput, match=r"cut off|header does not end"):
        decode(data[: int(len(data) * share)])


def test_warnings_that_pillow_reads_over_are_no_error(picture, encode) -> None:
    data = encode(picture, "JPEG")
    padded = data[:-2] + b"\x00\x01\x02\x03" + data[-2:]  # stray bytes before the end marker
    assert decode(padded).shape == picture.shape


def test_size_must_be_the_headers(picture, encode) -> None:
    data = bytearray(encode(picture, "JPEG"))
    from segserve.ops.image_header import ImageFormat, ImageHeader

    with pytest.raises(InvalidInput, match="9x9"):
        decode(data, header=ImageHeader(ImageFormat.JPEG, 9, 9))
    with pytest.raises(InvalidInput, match="9x9"):
        decode(encode(picture), header=ImageHeader(ImageFormat.PNG, 9, 9))


def test_limit_comes_before_decoding(picture, encode) -> None:
    with pytest.raises(TooLarge, match="limit is 100"):
        decode(encode(picture), max_pixels=100)


def test_no_bomb_warning_under_a_raised_limit(encode, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encode(np.zeros((30, 30, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).shape == (30, 30, 3)


def test_one_pixel(encode) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(encode(np.full((1, 1, 3), 90, np.uint8), kind)).shape == (1, 1, 3)


def test_opened_codecs_leave_no_import_to_a_request(picture, encode, tmp_path) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        (tmp_path / kind).write_bytes(encode(picture, kind))
    (tmp_path / "cmyk").write_bytes(encode(picture, "JPEG", "CMYK"))
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from segserve.ops.image import decode, open_codecs\n"
        "from segserve.ops.png import encode_label_png\n"
        "assert 'PIL' not in sys.modules\n"
        "open_codecs()\n"
        "opened = set(sys.modules)\n"
        "for path in Path(sys.argv[1]).iterdir(): decode(path.read_bytes())\n"
        "encode_label_png(np.zeros((2, 3), np.uint8))\n"
        "print(len(opened), sorted(set(sys.modules) - opened))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(told[0]) > 0
    assert told[1:] == ["[]"]


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=6))
@settings(max_examples=200)
def test_damage_anywhere_gives_pixels_or_invalid_input(picture, encode, place, patch) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        data = bytearray(encode(picture, kind))
        at = place % len(data)
        data[at : at + len(patch)] = patch
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pixels = decode(data, max_pixels=10**6)
        except InvalidInput:
            continue
        assert pixels.ndim == 3
