"""Masks over the network's whole input: SOLO, Decoupled SOLO, SOLOv2.

The network gives ``masks`` [K, h, w]: probabilities on a coarser grid over its padded input. It
gives no boxes: a region's box is the tight box of its mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Tensors
from segserve.families.mask_rule import Frame, Placed
from segserve.ops.full_masks import resize_masks_to_rle
from segserve.ops.masks import tight_boxes

_RANK = 3


@dataclass(frozen=True)
class FullMasks:
    """A `MaskRule` that enlarges each mask to the padded input, then to the source, as SOLO does.

    Parameters
    ----------
    threshold : float in [0, 1]
        A pixel is set when its probability is greater.
    """

    threshold: float = 0.5

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that are read."""
        return ("masks",)

    def check(self, outputs: Tensors) -> None:
        """Raise `BackendFailed` when the columns do not fit together."""
        count, masks = len(outputs["scores"]), outputs["masks"].shape
        if len(masks) != _RANK or masks[0] != count or 0 in masks[1:]:
            raise BackendFailed(
                f"output 'masks' must be [{count}, h, w] as 'scores' has {count} rows, got "
                f"{list(masks)}"
            )

    def place(self, outputs: Tensors, rows: npt.NDArray[np.intp], frame: Frame) -> Placed:
        """Enlarge the masks and find their boxes; empty masks stay, with a box of zeros."""
        masks = resize_masks_to_rle(
            outputs["masks"][rows],
            frame.placement.network,
            frame.placement.content,
            frame.source,
            self.threshold,
        )
        return Placed(np.arange(len(rows)), tight_boxes(masks), masks)

    def describe(self) -> dict[str, object]:
        """Tell how masks are made."""
        return {"mask_rule": "full", "mask_threshold": self.threshold}
