"""What goes into a classical segmenter beside the image, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.errors import Cancelled, InvalidInput
from segserve.core.tensor import Array

Stop = Callable[[], bool]
Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
MAX_PROMPT_ROWS = 10_000
_RANK = 3
_CHANNELS = 3
_COLUMNS = {"seeds": 3, "contour": 2}
_FEWEST = {"seeds": 1, "contour": 3}


@dataclass(frozen=True)
class Prompts:
    """Where to begin; all in pixels of the image that is segmented.

    Parameters
    ----------
    box : float32 [4] or None
        x1, y1, x2, y2 around the object, x2 and y2 exclusive.
    seeds : float32 [N, 3] or None
        x, y and label of known pixels; label 0 is what does not belong to the object.
    contour : float32 [N, 2] or None
        x, y of the vertices of a closed contour, N of at least 3.
    """

    box: Floats | None = None
    seeds: Floats | None = None
    contour: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse other shapes, too many rows, and what is not finite."""
        for name in self.given:
            array = getattr(self, name)
            if not (_is_shaped(name, array) and np.isfinite(array).all()):
                rows = f"{_FEWEST.get(name)} to {MAX_PROMPT_ROWS} rows of {_COLUMNS.get(name)}"
                expected = "4" if name == "box" else rows
                raise InvalidInput(
                    f"prompt '{name}' must be {expected} finite numbers, got shape "
                    f"{list(array.shape)}{'' if np.isfinite(array).all() else ', not all finite'}"
                )

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the prompts there are."""
        return tuple(n for n in ("box", "seeds", "contour") if getattr(self, n) is not None)


def _is_shaped(name: str, array: Array) -> bool:
    if name == "box":
        return array.shape == (4,)
    rows_fit = array.ndim == 2 and _FEWEST[name] <= len(array) <= MAX_PROMPT_ROWS  # noqa: PLR2004  rows and columns
    return rows_fit and array.shape[1] == _COLUMNS[name]


NO_PROMPTS = Prompts()


@dataclass(frozen=True)
class Segmentation:
    """A label for every pixel; proposals have more.

    Parameters
    ----------
    labels : int32 [h, w]
        0 to K-1, each of them used.
    contour : float32 [N, 2] or None
        x, y of a snake's vertices.
    boxes : float32 [R, 4] or None
        x1, y1, x2, y2 of proposals, x2 and y2 exclusive.
    scores : float32 [R] or None
        Falling, in (0, 1].
    members : bool [R, K] or None
        Which labels a proposal is made of.
    """

    labels: Labels
    contour: Floats | None = None
    boxes: Floats | None = None
    scores: Floats | None = None
    members: npt.NDArray[np.bool_] | None = None


def never() -> bool:
    """Do not stop."""
    return False


def check_stop(stop: Stop) -> None:
    """End the work when nobody waits for it any more, or its time is up.

    Raises
    ------
    Cancelled
    """
    if stop():
        raise Cancelled("the segmentation was stopped before its end")


def check_image(image: Array) -> npt.NDArray[np.uint8]:
    """Give the image as C-contiguous pixels.

    Raises
    ------
    InvalidInput
        When it is no uint8 [H, W, 3] with at least one pixel.
    """
    if (
        image.ndim != _RANK
        or image.dtype != np.uint8
        or image.shape[2] != _CHANNELS
        or 0 in image.shape
    ):
        raise InvalidInput(
            f"an image must be uint8 [H, W, 3] with at least one pixel, got {image.dtype} "
            f"{list(image.shape)}"
        )
    return np.ascontiguousarray(image)


def is_constant(image: Array) -> bool:
    """Whether all pixels are equal; then there is one region, whatever the method."""
    return bool((image == image[0, 0]).all())


def consecutive(labels: Array) -> Labels:
    """Give the labels that occur numbers from 0 on, keeping their order."""
    low = int(labels.min())
    used = np.bincount((labels - low).reshape(-1)) > 0
    places = np.cumsum(used) - 1
    return np.ascontiguousarray(places[labels - low], dtype=np.int32)


def check_box(box: Floats, image: Array) -> Floats:
    """Give a box back if some of the image lies in it.

    Raises
    ------
    InvalidInput
        When it is empty, turned round, or outside.
    """
    height, width = image.shape[:2]
    left, top = np.maximum(box[:2], 0)
    right, bottom = np.minimum(box[2:], (width, height))
    if not (left < right and top < bottom):
        raise InvalidInput(
            f"box {box.tolist()} holds no pixel of the image of {width} x {height} pixels"
        )
    return box


def whole_image_box(image: Array, share: float) -> Floats:
    """Give the centred box whose sides are `share` of the image's, at least one pixel."""
    height, width = image.shape[:2]
    half_x, half_y = max(width * share, 1) / 2, max(height * share, 1) / 2
    centre_x, centre_y = width / 2, height / 2
    return np.array(
        [centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y],
        dtype=np.float32,
    )
