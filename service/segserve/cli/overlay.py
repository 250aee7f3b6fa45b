"""Draws what a model found over the image: colours, contours, and a legend with names."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segserve.core.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from segserve.client import Region, Segment, SegmentResult

_OPACITY = 0.5
_GOLDEN_RATIO = 0.618_034
_BACKGROUND = "background"
_MAX_LEGEND_ROWS = 40

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Entry:
    """One thing that is drawn: its value in the map, its name and colour (RGB)."""

    value: int
    name: str
    colour: Colour


def draw_overlay(image: Path, result: SegmentResult, out: Path) -> None:
    """Write the overlay of one image.

    Parameters
    ----------
    image : Path
        The file that was sent; its EXIF orientation is honoured.
    result : SegmentResult
        With masks or a map.
    out : Path
        Its folder is made when missing; the suffix chooses the format.

    Raises
    ------
    Unsupported
        When Pillow is not installed.
    InvalidInput
        When the image cannot be read or the overlay cannot be written.
    """
    picture = _opened(image)
    entries, values = _painted(result)
    _save(_with_legend(_tinted(picture, entries, values), entries), out)


def tinted_picture(image: Path, result: SegmentResult) -> Any:
    """Give the picture with colours and contours, without a legend: uint8 [H, W, 3].

    Raises
    ------
    Unsupported, InvalidInput
        As `draw_overlay`.
    """
    import numpy as np

    return np.asarray(_tinted(_opened(image), *_painted(result)))


def save_picture(pixels: Any, out: Path) -> None:
    """Write pixels, uint8 [H, W, 3].

    Raises
    ------
    InvalidInput
        When they cannot be written.
    """
    _save(_pillow().fromarray(pixels), out)


def _opened(image: Path) -> Any:
    pillow = _pillow()
    try:
        with pillow.open(image) as opened:
            return _upright(opened).convert("RGB")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot draw on '{image}': {error}") from error


def _save(drawn: Any, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(out)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot write the overlay '{out}': {error}") from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise Unsupported("--overlay needs Pillow: pip install pillow") from error
    return Image


def _upright(picture: Any) -> Any:
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def colour_of(number: int) -> Colour:
    """Give a colour for a label or instance: equal numbers equal colours, neighbours far apart."""
    hue = (number * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 + 0.25 * (number % 2), 1.0)
    return int(red * 255), int(green * 255), int(blue * 255)


def _painted(result: SegmentResult) -> tuple[list[Entry], Any]:
    """Give the entries and a map of their values, 0 where nothing is; the best instance on top."""
    import numpy as np

    entries = []
    items: Sequence[Region | Segment] = result.regions or result.segments
    values = np.zeros((1, 1), np.int32)
    for number, (item, mask) in enumerate(zip(items, result.masks(), strict=True), 1):
        if number == 1:
            values = np.zeros(mask.shape, np.int32)
        if item.label == _BACKGROUND:
            continue
        colour = colour_of(number if result.regions else item.label_id)
        values[mask & (values == 0)] = number
        entries.append(Entry(number, item.label or f"label {item.label_id}", colour))
    return entries, values


def _tinted(picture: Any, entries: Sequence[Entry], values: Any) -> Any:
    import numpy as np

    pixels = np.asarray(picture, np.float32)
    values = _resized(values, pixels.shape[:2])
    table = np.zeros((max((e.value for e in entries), default=0) + 1, 3), np.float32)
    for entry in entries:
        table[entry.value] = entry.colour
    colours = table[values]
    inside = (values > 0)[..., None]
    tinted = np.where(inside, (1 - _OPACITY) * pixels + _OPACITY * colours, pixels)
    contour = _contour(values, max(1, min(pixels.shape[:2]) // 300))[..., None]
    tinted = np.where(contour, np.where(inside, colours, 255.0), tinted)
    return _pillow().fromarray(tinted.astype(np.uint8))


def _resized(values: Any, shape: tuple[int, int]) -> Any:
    """Bring a map of the model's own resolution to the image's, by the nearest pixel."""
    import numpy as np

    rows = np.arange(shape[0]) * values.shape[0] // shape[0]
    columns = np.arange(shape[1]) * values.shape[1] // shape[1]
    return values[rows[:, None], columns[None, :]]


def _contour(values: Any, width_px: int) -> Any:
    """Mark pixels within `width_px` above or left of another value."""
    import numpy as np

    edge = np.zeros(values.shape, bool)
    for step in range(1, width_px + 1):
        edge[:-step] |= values[:-step] != values[step:]
        edge[:, :-step] |= values[:, :-step] != values[:, step:]
    return edge


def _with_legend(picture: Any, entries: Sequence[Entry]) -> Any:
    """Add a panel with a swatch and a name for each colour on the right."""
    from PIL import ImageDraw, ImageFont

    named = list({(e.name, e.colour): e for e in entries}.values())[:_MAX_LEGEND_ROWS]
    if not named:
        return picture
    size = max(11, min(picture.height // (len(named) + 1), picture.height // 22))
    font = ImageFont.load_default(size)
    panel = int(max(font.getlength(entry.name) for entry in named)) + 3 * size
    height = max(picture.height, (len(named) + 1) * (size + size // 2))
    canvas = _pillow().new("RGB", (picture.width + panel, height), "white")
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for row, entry in enumerate(named):
        left, top = picture.width + size // 2, size // 2 + row * (size + size // 2)
        pen.rectangle((left, top, left + size, top + size), fill=entry.colour, outline="black")
        pen.text((left + size + size // 2, top), entry.name, fill="black", font=font)
    return canvas
