"""Masks as COCO RLE, and the instances of images as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rle:
    """One binary mask as COCO's compressed run-length string, column-major.

    Parameters
    ----------
    height_px, width_px : int
        Size of the mask, which is the size of the source image unless said otherwise.
    counts : bytes
        COCO's compressed counts (pycocotools ``encode(...)["counts"]``), ASCII.
    """

    height_px: int
    width_px: int
    counts: bytes

    def to_coco(self) -> dict[str, object]:
        """``{"size": [h, w], "counts": str}``: what COCO's JSON files hold."""
        return {"size": [self.height_px, self.width_px], "counts": self.counts.decode("ascii")}


@dataclass(frozen=True)
class Regions:
    """Instances of a list of images, one column per property; N instances, B images.

    Parameters
    ----------
    boxes : float32 [N, 4]
        x1, y1, x2, y2 in pixels of the source image after EXIF rotation, x2 and y2 exclusive.
    scores : float32 [N]
        In [0, 1], falling within an image; equal scores by lower index of the model's row.
    labels : int32 [N]
        label_id: line n of labels.txt is label n.
    areas : int64 [N]
        Set pixels of the mask.
    masks : tuple of Rle, length N (empty when masks were not asked for)
    image_index : int32 [N]
        Which image an instance belongs to.
    row_splits : int64 [B + 1]
        Rows ``row_splits[b]:row_splits[b + 1]`` belong to image b.
    region_id : tuple of str, length N or empty
        Stable id of a region: equal image, model, box and label give an equal id.
    descriptors : float32 [N, D] or None
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int64]
    masks: tuple[Rle, ...]
    image_index: npt.NDArray[np.int32]
    row_splits: npt.NDArray[np.int64]
    region_id: tuple[str, ...] = ()
    descriptors: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.scores)
