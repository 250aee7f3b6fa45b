"""Draws what a refinement changed: before, after and the difference, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segserve.cli.overlay import save_picture, tinted_picture
from segserve.core.errors import InvalidInput

if TYPE_CHECKING:
    from segserve.client import SegmentResult

_DIMMED = 0.35
_GAP_PX = 4


def draw_comparison(image: Path, before: SegmentResult, after: SegmentResult, out: Path) -> float:
    """Write three pictures side by side.

    Parameters
    ----------
    image : Path
        The file that was sent.
    before, after : SegmentResult
        Unrefined and refined, with masks.
    out : Path
        Its folder is made when missing; the suffix chooses the format.

    Returns
    -------
    share : float
        Of the pixels whose label differs, in [0, 1].

    Raises
    ------
    Unsupported
        When Pillow is not installed.
    InvalidInput
        When `after` was not refined, the image cannot be read or the picture cannot be written.
    """
    if not after.refined:
        raise InvalidInput(
            "the server did not refine this image in time: send --parameter crf_max_ms=10000"
        )
    import numpy as np

    picture, labels_before = _drawn(image, before)
    refined, labels_after = _drawn(image, after)
    differs = labels_before != labels_after
    dimmed = (refined.astype(np.float32) * _DIMMED).astype(np.uint8)
    difference = np.where(differs[..., None], np.uint8(255), dimmed)
    gap = np.full((len(picture), _GAP_PX, 3), 255, np.uint8)
    save_picture(np.hstack([picture, gap, refined, gap, difference]), out)
    return float(differs.mean())


def _drawn(image: Path, result: SegmentResult) -> tuple[Any, Any]:
    """Give the tinted picture, uint8 [H, W, 3], and its labels, int32 [H, W], -1 for none."""
    import numpy as np

    picture = tinted_picture(image, result)
    labels = np.full(picture.shape[:2], -1, np.int32)
    for segment, mask in zip(result.segments, result.masks(), strict=True):
        if mask.shape != labels.shape:
            raise InvalidInput(
                f"the map has {mask.shape[1]}x{mask.shape[0]} pixels, the picture "
                f"{labels.shape[1]}x{labels.shape[0]}: leave out --output-size"
            )
        labels[mask.astype(np.bool_)] = segment.label_id
    return picture, labels
