"""From a segmenter's label map at its working size to what was asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.options import MaskFormat, SegmentOptions
from segserve.core.regions import Regions
from segserve.core.tensor import Array, Tensors
from segserve.ops.png import Palette, encode_label_png
from segserve.ops.rle import LabelRuns, encode, encode_labels, find_runs

_MAX_LABELS = 65536
_MAX_U8_LABELS = 256

LabelArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def shrunk(pixels: Array, size: tuple[int, int]) -> Array:
    """Resize an image by Pillow's box filter, unless it has the size (height, width) already."""
    from PIL import Image  # noqa: PLC0415  opens late

    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))


def compact(labels: Array) -> LabelArray:
    """Give labels as uint8, or uint16 where there are more than 256.

    Raises
    ------
    InvalidInput
        When there are more regions than ids.
    """
    count = int(labels.max()) + 1
    if count > _MAX_LABELS:
        raise InvalidInput(
            f"the segmenter found {count} regions, over the limit of {_MAX_LABELS}: ask for larger "
            f"ones by its parameters"
        )
    return labels.astype(np.uint8) if count <= _MAX_U8_LABELS else labels.astype(np.uint16)


def enlarged(labels: LabelArray, height: int, width: int) -> LabelArray:
    """Bring a label map to a size: the label of the pixel whose area holds the centre."""
    if labels.shape == (height, width):
        return labels
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.intp)
    return np.ascontiguousarray(labels[rows[:, None], columns])


def label_map(labels: LabelArray, options: SegmentOptions, palette: Palette) -> LabelMap:
    """Encode a label map and list its labels, as the options say."""
    runs = find_runs(labels)
    mask_format = options.mask_format or MaskFormat.RLE
    png = mask_format is MaskFormat.PNG
    return LabelMap(
        height_px=labels.shape[0],
        width_px=labels.shape[1],
        segments=_segments(runs, options, with_masks=mask_format is MaskFormat.RLE),
        labels=labels if mask_format is MaskFormat.RAW else None,
        png=encode_label_png(labels, palette) if png else None,
    )


def _segments(runs: LabelRuns, options: SegmentOptions, *, with_masks: bool) -> tuple[Segment, ...]:
    """Rows of the labels that the options keep: falling area, equal areas by lower id."""
    areas = runs.areas
    present = np.flatnonzero(areas >= max(1, options.min_area_px or 0))
    if options.label_ids is not None:
        present = present[np.isin(present, options.label_ids)]
    order = np.argsort(-areas[present], kind="stable")
    kept = [int(i) for i in present[order]][: options.top_k]
    masks = encode_labels(runs, kept) if with_masks else (None,) * len(kept)
    return tuple(
        Segment(segment_id=i, label_id=i, area=int(areas[i]), mask=mask)
        for i, mask in zip(kept, masks, strict=True)
    )


def proposals(outputs: Tensors, labels: LabelArray, options: SegmentOptions) -> Regions:
    """Give boxes, scores and masks of proposals, in pixels of `labels`; all have label 0.

    Parameters
    ----------
    outputs : Tensors
        ``boxes`` float32 [R, 4] in pixels of ``labels``' working size, ``scores``, ``members``.
    labels : uint8 or uint16 [H, W]
        The map that `members` refers to, at the size of the answer.
    """
    height, width = labels.shape
    work_height, work_width = outputs["labels"].shape
    scale = np.array([width / work_width, height / work_height] * 2, np.float32)
    members = outputs["members"]
    sizes = np.bincount(labels.reshape(-1), minlength=members.shape[1])
    areas = (members * sizes[: members.shape[1]]).sum(axis=1)
    wanted = (areas >= (options.min_area_px or 0)) & (
        outputs["scores"] >= (options.score_threshold or 0.0)
    )
    if options.label_ids is not None and 0 not in options.label_ids:
        wanted[:] = False
    rows = np.flatnonzero(wanted)[: options.top_k]
    with_masks = options.mask_format is not MaskFormat.NONE
    masks = tuple(encode(members[row][labels]) for row in rows) if with_masks else ()
    return Regions(
        boxes=(outputs["boxes"][rows] * scale).astype(np.float32),
        scores=outputs["scores"][rows].astype(np.float32),
        labels=np.zeros(len(rows), np.int32),
        areas=areas[rows].astype(np.int64),
        masks=masks,
        image_index=np.zeros(len(rows), np.int32),
        row_splits=np.array([0, len(rows)], np.int64),
    )
