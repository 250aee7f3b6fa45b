"""Encoded images to upright RGB pixels.

JPEG by libjpeg-turbo (simplejpeg), with the same settings as Pillow's (accurate integer DCT,
smooth chroma), so that the pixels are the ones official pre-processing sees; PNG, WebP and
four-channel JPEG by Pillow. Always the first frame; alpha is dropped, palettes, grey and CMYK
become RGB as Pillow's ``convert("RGB")`` makes them; 16-bit samples keep their upper 8 bits.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array
from segserve.ops.exif import Orientation
from segserve.ops.image_header import DEFAULT_MAX_PIXELS, ImageFormat, ImageHeader, read_header

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Pixels = npt.NDArray[np.uint8]

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow's plugins raise on broken files."""

_FOUR_CHANNELS = 4


def decode(
    data: bytes | bytearray | memoryview,
    *,
    min_size_px: tuple[int, int] | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    header: ImageHeader | None = None,
) -> Pixels:
    """Decode an image.

    Parameters
    ----------
    data : bytes-like
        JPEG, PNG or WebP.
    min_size_px : (height, width), optional
        Lets a JPEG be decoded at a half, quarter or eighth (and what else the DCT offers) as long
        as the upright result is not smaller than this. Never give it where exact pixels matter.
    max_pixels : int
        Larger images are refused before anything is decoded.
    header : ImageHeader, optional
        What `read_header` gave for the same bytes, to save reading it twice.

    Returns
    -------
    pixels : uint8 [H, W, 3]
        RGB, C-contiguous, EXIF orientation applied.

    Raises
    ------
    InvalidInput
        When the bytes are no JPEG, PNG or WebP, are cut off, or broken.
    TooLarge
        When there are more than `max_pixels` pixels.
    """
    header = header or read_header(data, max_pixels=max_pixels)
    if header.format is ImageFormat.JPEG and header.channels != _FOUR_CHANNELS:
        pixels = _decode_jpeg(data, header, min_size_px)
    else:
        pixels = _decode_pillow(data, header)
    return upright(pixels, header.orientation)


def open_codecs() -> None:
    """Import what `decode` and `segserve.ops.png` import late: about 70 ms once in a process."""
    import simplejpeg  # noqa: F401, PLC0415  opens late
    from PIL import Image  # noqa: PLC0415  opens late

    Image.preinit()  # what Image.save looks for
    for image_format in ImageFormat:
        _plugin(image_format)


def upright(pixels: Array, orientation: Orientation) -> Array:
    """Turn and mirror stored pixels as EXIF says (Pillow's ``ImageOps.exif_transpose``).

    Parameters
    ----------
    pixels : [H, W, ...]
    orientation : Orientation

    Returns
    -------
    pixels : C-contiguous [H, W, ...] or [W, H, ...]
    """
    if orientation.swaps_sides:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (Orientation.TURNED_180, Orientation.FLIPPED):
        pixels = pixels[::-1]
    if orientation in (Orientation.TURNED_180, Orientation.MIRRORED):
        pixels = pixels[:, ::-1]
    if orientation in (Orientation.TURNED_90_CCW, Orientation.TRANSVERSED):
        pixels = pixels[::-1]
    if orientation in (Orientation.TURNED_90_CW, Orientation.TRANSVERSED):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _decode_jpeg(
    data: bytes | bytearray | memoryview,
    header: ImageHeader,
    min_size_px: tuple[int, int] | None,
) -> Pixels:
    import simplejpeg  # noqa: PLC0415  opens late

    scaling: dict[str, int] = {}
    if min_size_px is not None:
        height, width = min_size_px[::-1] if header.orientation.swaps_sides else min_size_px
        scaling = {"min_height": height, "min_width": width}
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", **scaling)
    except ValueError:
        # also raised for warnings that Pillow reads over; what is really broken fails there too
        return _decode_pillow(data, header)
    stored = (header.stored_height_px, header.stored_width_px)
    if not scaling and pixels.shape[:2] != stored:
        raise InvalidInput(
            f"the JPEG header says {stored[1]}x{stored[0]} pixels, its data has "
            f"{pixels.shape[1]}x{pixels.shape[0]}"
        )
    return pixels


def _decode_pillow(data: bytes | bytearray | memoryview, header: ImageHeader) -> Pixels:
    try:
        # the plugin's own class: only this format, and no process-wide pixel limit to change
        with _plugin(header.format)(BytesIO(data)) as image:
            stored = (header.stored_width_px, header.stored_height_px)
            if image.size != stored:
                raise InvalidInput(
                    f"the {header.format.value} header says {stored[0]}x{stored[1]} pixels, its "
                    f"data has {image.size[0]}x{image.size[1]}"
                )
            image.load()
            return _to_rgb(image)
    except _BROKEN as error:
        raise InvalidInput(
            f"the {header.format.value} image of {len(data)} bytes is cut off or broken: {error}"
        ) from error


def _plugin(image_format: ImageFormat) -> type[ImageFile]:
    match image_format:
        case ImageFormat.JPEG:
            from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415  opens late

            return JpegImageFile
        case ImageFormat.PNG:
            from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415  opens late

            return PngImageFile
        case ImageFormat.WEBP:
            from PIL.WebPImagePlugin import WebPImageFile  # noqa: PLC0415  opens late

            return WebPImageFile


def _to_rgb(image: ImageFile) -> Pixels:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip at 255
        grey: Array = np.asarray(image)
        high = (grey >> 8).astype(np.uint8)
        return np.repeat(high[:, :, None], 3, axis=2)
    rgb: Any = image if image.mode == "RGB" else image.convert("RGB")
    return np.array(rgb, dtype=np.uint8)
