"""From prompts, typed or written as text, to the tensors of segmenters that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.options import SegmentOptions
from segserve.core.prompts import Prompt
from segserve.core.tensor import Array

_BOX, _SEEDS, _CONTOUR = "box", "seeds", "contour"
_MIN_VERTICES = 3
_MAX_ROWS = 10_000
_COLUMNS = {_BOX: 4, _SEEDS: 3, _CONTOUR: 2}
_EXPECTED = {
    _BOX: "x1,y1,x2,y2",
    _SEEDS: "x,y,label;x,y,label;...",
    _CONTOUR: "x,y;x,y;x,y;...",
}


def prompt_tensors(
    options: SegmentOptions, takes: tuple[str, ...], scale: tuple[float, float]
) -> Mapping[str, Array]:
    """Give the prompts of a request as float32 tensors, without the batch axis.

    A box of the first prompt becomes ``box``. Points become ``seeds``: those inside prompt n have
    label n + 1, those outside label 0; for segmenters that take a contour the points of the first
    prompt are its vertices. The parameters ``box``, ``seeds`` and ``contour`` say the same as text.

    Parameters
    ----------
    options : SegmentOptions
    takes : tuple of str
        Which of ``box``, ``seeds``, ``contour`` the segmenter looks at.
    scale : (x, y)
        From pixels of the source to pixels of the image that is segmented.

    Raises
    ------
    InvalidInput
        When a prompt does not read or is not finite.
    Unsupported
        When the segmenter does not take it.
    """
    found = {
        name: _read(name, options.parameters[name]) for name in takes if name in options.parameters
    }
    for name, make in _MAKERS.items():
        array = make(options.prompts, takes)
        if array is None:
            continue
        if name not in takes or name in found:
            why = f"it takes {', '.join(takes) or 'none'}" if name not in takes else "given twice"
            raise Unsupported(f"prompts that give '{name}' cannot be used by this model: {why}")
        found[name] = array
    if any(prompt.mask is not None for prompt in options.prompts):
        raise Unsupported("masks as prompts cannot be used by this model: send points or a box")
    return {name: _scaled(_checked(name, array), scale) for name, array in found.items()}


def _read(name: str, text: str) -> Array:
    rows = [row for row in text.split(";") if row.strip()]
    try:
        values = [[float(part) for part in row.split(",")] for row in rows]
        array = np.array(values, np.float32).reshape(-1, _COLUMNS[name])
        ragged = any(len(row) != _COLUMNS[name] for row in values)
    except ValueError:
        ragged = True
    if ragged or len(rows) > _MAX_ROWS:
        raise InvalidInput(f"parameter '{name}' must be {_EXPECTED[name]}, got '{text[:80]}'")
    return array.reshape(-1) if name == _BOX else array


def _box(prompts: tuple[Prompt, ...], takes: tuple[str, ...]) -> Array | None:  # noqa: ARG001  as the others
    boxes = [prompt.box for prompt in prompts if prompt.box is not None]
    if len(boxes) > 1:
        raise Unsupported(f"this model takes one box, got {len(boxes)}")
    return np.array(boxes[0], np.float32) if boxes else None


def _seeds(prompts: tuple[Prompt, ...], takes: tuple[str, ...]) -> Array | None:
    rows = [
        (point.x, point.y, index + 1 if point.inside else 0)
        for index, prompt in enumerate(prompts)
        for point in prompt.points
    ]
    return np.array(rows, np.float32) if rows and _CONTOUR not in takes else None


def _contour(prompts: tuple[Prompt, ...], takes: tuple[str, ...]) -> Array | None:
    rows = [(point.x, point.y) for point in prompts[0].points] if prompts else []
    return np.array(rows, np.float32) if rows and _CONTOUR in takes else None


_MAKERS: dict[str, Callable[[tuple[Prompt, ...], tuple[str, ...]], Array | None]] = {
    _BOX: _box,
    _SEEDS: _seeds,
    _CONTOUR: _contour,
}


def _checked(name: str, array: Array) -> Array:
    if not np.isfinite(array).all() or len(array) > _MAX_ROWS:
        raise InvalidInput(f"prompt '{name}' must hold at most {_MAX_ROWS} rows of finite numbers")
    shape = array.shape
    right = shape == (4,) if name == _BOX else shape[1:] == (_COLUMNS[name],) and len(array) > 0
    if not right or (name == _CONTOUR and len(array) < _MIN_VERTICES):
        raise InvalidInput(f"prompt '{name}' must be {_EXPECTED[name]}, got shape {list(shape)}")
    return array


def _scaled(array: Array, scale: tuple[float, float]) -> Array:
    """Scale x and y; the third column of seeds is a label."""
    factors = (*scale, *scale) if array.ndim == 1 else (*scale, 1)[: array.shape[1]]
    return np.asarray(array * np.array(factors, np.float32), np.float32)
