"""How a detector's mask columns become masks of the source image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segserve.core.regions import Rle
from segserve.core.tensor import Array, Tensors
from segserve.families.shapes import Placement, Size


@dataclass(frozen=True)
class Frame:
    """The source image and where it lay in the network's input.

    Parameters
    ----------
    source : (height, width)
        Of the upright picture.
    placement : Placement
        The network's size and the part of it that the picture filled.
    """

    source: Size
    placement: Placement

    @property
    def scale_xyxy(self) -> npt.NDArray[np.float32]:
        """Source pixels per network pixel, as float32 [4] for x1, y1, x2, y2."""
        height, width = self.placement.content
        sizes = np.array([self.source[1], self.source[0]] * 2, dtype=np.float32)
        content = np.array([width, height] * 2, dtype=np.float32)
        scale: npt.NDArray[np.float32] = sizes / content
        return scale

    def source_boxes(self, boxes: Array) -> npt.NDArray[np.float32]:
        """Scale boxes [N, 4] from network pixels to source pixels, and cut them at its borders."""
        limits = np.array([self.source[1], self.source[0]] * 2, dtype=np.float32)
        cut: npt.NDArray[np.float32] = np.clip(
            boxes.astype(np.float32) * self.scale_xyxy, 0, limits
        )
        return cut


@dataclass(frozen=True)
class Placed:
    """Boxes and masks in the source image.

    Parameters
    ----------
    rows : intp [M]
        Which of the asked-for rows these are; fewer where the official code drops some.
    boxes : float32 [M, 4]
        x1, y1, x2, y2 in source pixels.
    masks : tuple of Rle, length M
        At the source's size.
    """

    rows: npt.NDArray[np.intp]
    boxes: npt.NDArray[np.float32]
    masks: tuple[Rle, ...]


class MaskRule(Protocol):
    """One way to write masks; holds no state, so any thread may call it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that `place` reads, beside scores, labels and valid."""

    def check(self, outputs: Tensors) -> None:
        """Raise `BackendFailed` when the columns do not fit together."""

    def place(self, outputs: Tensors, rows: npt.NDArray[np.intp], frame: Frame) -> Placed:
        """Bring some rows into the source image.

        Parameters
        ----------
        outputs : Tensors
            Of one image, without the batch axis; checked.
        rows : intp [N]
            In the order in which they are wanted.
        frame : Frame
        """

    def describe(self) -> dict[str, object]:
        """Tell, in values that JSON has, how masks are made."""
