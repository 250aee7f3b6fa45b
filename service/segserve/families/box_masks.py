"""Masks that lie in their boxes: Mask R-CNN, PointRend.

The network gives ``boxes`` [K, 4] (x1, y1, x2, y2 in pixels of its input) and ``masks`` [K, m, m]
(probabilities, box-relative).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Tensors
from segserve.families.mask_rule import Frame, Placed
from segserve.ops.masks import paste_boxes_to_rle, paste_expanded_boxes_to_rle

_RANK = 3


class Paste(Enum):
    """Whose way of pasting: see `paste_boxes_to_rle` and `paste_expanded_boxes_to_rle`."""

    DETECTRON2 = "detectron2"
    TORCHVISION = "torchvision"


@dataclass(frozen=True)
class BoxMasks:
    """A `MaskRule` that pastes each mask into its box.

    Parameters
    ----------
    threshold : float in [0, 1]
        A pixel is set when its probability is not less; as torchvision pastes, when it is greater.
    paste : Paste
        detectron2 also drops boxes that are empty in the source image.
    """

    threshold: float = 0.5
    paste: Paste = Paste.DETECTRON2

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that are read."""
        return ("boxes", "masks")

    def check(self, outputs: Tensors) -> None:
        """Raise `BackendFailed` when the columns do not fit together."""
        count = len(outputs["scores"])
        boxes, masks = outputs["boxes"].shape, outputs["masks"].shape
        if boxes != (count, 4):
            raise BackendFailed(
                f"output 'boxes' must be {[count, 4]} as 'scores' has {count} rows, got "
                f"{list(boxes)}"
            )
        if len(masks) != _RANK or masks[0] != count or 0 in masks[1:]:
            raise BackendFailed(f"output 'masks' must be [{count}, m, m], got {list(masks)}")

    def place(self, outputs: Tensors, rows: npt.NDArray[np.intp], frame: Frame) -> Placed:
        """Scale the boxes and paste the masks."""
        boxes = frame.source_boxes(outputs["boxes"][rows])
        masks = outputs["masks"][rows]
        if self.paste is Paste.TORCHVISION:
            pasted = paste_expanded_boxes_to_rle(masks, boxes, *frame.source, self.threshold)
            return Placed(np.arange(len(rows)), boxes, pasted)
        kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        pasted = paste_boxes_to_rle(masks[kept], boxes[kept], *frame.source, self.threshold)
        return Placed(kept, boxes[kept], pasted)

    def describe(self) -> dict[str, object]:
        """Tell how masks are made."""
        return {
            "mask_rule": "box",
            "mask_paste": self.paste.value,
            "mask_threshold": self.threshold,
        }
