"""Masks drawn as filled contours: PolarMask.

The network gives ``boxes`` [K, 4] (x1, y1, x2, y2) and ``contours`` [K, 2, P] (x, then y, of P
corners), both in pixels of its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Tensors
from segserve.families.mask_rule import Frame, Placed
from segserve.ops.polygons import fill_polygons_to_rle

_RANK = 3
_AXES = 2


@dataclass(frozen=True)
class ContourMasks:
    """A `MaskRule` that brings contours to the source, cuts off fractions and fills them.

    What official code does: divide by the scale of each side, truncate to whole pixels, OpenCV's
    ``drawContours`` with a negative thickness.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that are read."""
        return ("boxes", "contours")

    def check(self, outputs: Tensors) -> None:
        """Raise `BackendFailed` when the columns do not fit together."""
        count = len(outputs["scores"])
        boxes, contours = outputs["boxes"].shape, outputs["contours"].shape
        if boxes != (count, 4):
            raise BackendFailed(
                f"output 'boxes' must be {[count, 4]} as 'scores' has {count} rows, got "
                f"{list(boxes)}"
            )
        if len(contours) != _RANK or contours[:2] != (count, _AXES) or contours[2] < 1:
            raise BackendFailed(
                f"output 'contours' must be [{count}, {_AXES}, corners], got {list(contours)}"
            )

    def place(self, outputs: Tensors, rows: npt.NDArray[np.intp], frame: Frame) -> Placed:
        """Scale boxes and contours, and fill."""
        (height, width), content = frame.source, frame.placement.content
        scale = np.array([content[1] / width, content[0] / height], dtype=np.float32)
        contours = outputs["contours"][rows].astype(np.float32) / scale[:, None]
        corners = np.ascontiguousarray(contours.astype(np.int32).transpose(0, 2, 1))
        boxes = (outputs["boxes"][rows] / np.tile(scale, 2)).astype(np.float32)
        masks = fill_polygons_to_rle(corners, height, width)
        return Placed(np.arange(len(rows)), boxes, masks)

    def describe(self) -> dict[str, object]:
        """Tell how masks are made."""
        return {"mask_rule": "contour"}
