"""A semantic or panoptic map: a label for every pixel, and a row for every segment in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.regions import Rle

UNUSED_LABEL = "N/A"
"""Stands in lists of labels for an id that no class has."""


@dataclass(frozen=True)
class Segment:
    """One label (semantic) or one segment (panoptic) of a map.

    Parameters
    ----------
    segment_id : int
        The value that stands in `LabelMap.labels`; for semantic maps equal to `label_id`.
    label_id : int
        Line n of labels.txt is label n.
    area : int
        Pixels of this segment.
    is_thing : bool
        Countable object rather than stuff.
    score : float or None
        Panoptic models give one; semantic models do not.
    mask : Rle or None
        Present when the request asked for RLE.
    """

    segment_id: int
    label_id: int
    area: int
    is_thing: bool = False
    score: float | None = None
    mask: Rle | None = None


@dataclass(frozen=True)
class LabelMap:
    """A segment id for every pixel.

    Parameters
    ----------
    height_px, width_px : int
        Size of the map: the source image's, or the model's stride when that was asked for.
    segments : tuple of Segment
        Falling area, equal areas by lower id; segments that the options filtered out are absent.
    labels : uint8 or uint16 [height_px, width_px], or None
        Present when the request asked for the raw map.
    png : bytes or None
        The map as a palette (up to 256 ids) or 16-bit grey PNG, when that was asked for.
    """

    height_px: int
    width_px: int
    segments: tuple[Segment, ...]
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    png: bytes | None = None
