"""Masks as sums of prototypes: YOLACT.

The network gives ``boxes`` [K, 4] (x1, y1, x2, y2 relative to the picture, 0 to 1),
``coefficients`` [K, D] and ``prototypes`` [h, w, D].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors
from segserve.families.mask_rule import Frame, Placed
from segserve.ops.prototypes import assemble_prototypes_to_rle

_RANK = 3


@dataclass(frozen=True)
class PrototypeMasks:
    """A `MaskRule` that assembles masks at the prototypes' size and enlarges them, as YOLACT does.

    Parameters
    ----------
    threshold : float in [0, 1]
        A pixel is set when its probability is greater.
    """

    threshold: float = 0.5

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that are read."""
        return ("boxes", "coefficients", "prototypes")

    def check(self, outputs: Tensors) -> None:
        """Raise `BackendFailed` when the columns do not fit together."""
        count = len(outputs["scores"])
        prototypes = outputs["prototypes"].shape
        if len(prototypes) != _RANK or 0 in prototypes:
            raise BackendFailed(f"output 'prototypes' must be [h, w, D], got {list(prototypes)}")
        expected = {"boxes": (count, 4), "coefficients": (count, prototypes[2])}
        for name, shape in expected.items():
            if outputs[name].shape != shape:
                raise BackendFailed(
                    f"output '{name}' must be {list(shape)} as 'scores' has {count} rows and "
                    f"'prototypes' is {list(prototypes)}, got {list(outputs[name].shape)}"
                )

    def place(self, outputs: Tensors, rows: npt.NDArray[np.intp], frame: Frame) -> Placed:
        """Assemble the masks; boxes become whole pixels. Empty masks stay.

        Raises
        ------
        BackendFailed
            When the network's input was padded: boxes are relative to the whole of it.
        """
        if frame.placement.content != frame.placement.network:
            raise BackendFailed(
                f"mask_rule 'prototypes' needs pictures that fill the network's input, got "
                f"{frame.placement.content} in {frame.placement.network}: use resize stretch:HxW"
            )
        boxes = outputs["boxes"][rows].astype(np.float32, copy=False)
        masks = assemble_prototypes_to_rle(
            outputs["prototypes"],
            outputs["coefficients"][rows],
            boxes,
            *frame.source,
            self.threshold,
        )
        return Placed(np.arange(len(rows)), _whole_pixels(boxes, *frame.source), masks)

    def describe(self) -> dict[str, object]:
        """Tell how masks are made."""
        return {"mask_rule": "prototypes", "mask_threshold": self.threshold}


def _whole_pixels(boxes: Array, height: int, width: int) -> npt.NDArray[np.float32]:
    """Scale, order, cut at the picture's borders and round towards zero (``postprocess``).

    Boxes beside the picture end on its border; the original leaves one corner of them outside.
    """
    sizes = np.array([width, height], np.float32)
    corners = np.clip(boxes.reshape(-1, 2, 2) * sizes, 0, sizes)
    whole: npt.NDArray[np.float32] = np.trunc(
        np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    )
    return whole
