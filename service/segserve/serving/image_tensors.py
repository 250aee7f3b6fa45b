"""Images inside a tensor request: BYTES in place of the model's image, and regions as tensors.

A request that sends a BYTES tensor of encoded images (shape [N] or [N, 1], any sizes) where the
model expects its image tensor is decoded by the server. The answer holds, for instance models,
``boxes scores labels areas row_splits mask_rle image_size``; for semantic models
``labels areas row_splits mask_rle image_size``, with ``label_map`` in place of ``mask_rle`` when
the mask format is PNG or raw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.label_map import LabelMap
from segserve.core.messages import EncodedImage, InferRequest, SegmentRequest, SegmentResponse
from segserve.core.options import MaskFormat
from segserve.core.regions import Regions, Rle
from segserve.core.tensor import Array, Tensors


def carries_images(request: InferRequest, image_input: str) -> bool:
    """Whether the request sends encoded images for the model's image input."""
    array = request.inputs.get(image_input)
    return array is not None and array.dtype == object and len(request.inputs) == 1


def to_segment_requests(
    request: InferRequest, image_input: str, parameter_names: Sequence[str] = ()
) -> list[SegmentRequest]:
    """Give one request per image.

    Parameters
    ----------
    parameter_names : sequence of str
        Request parameters that are the model's own options.

    Raises
    ------
    InvalidInput
        When the tensor is not [N] or [N, 1], or is empty.
    """
    array = request.inputs[image_input]
    if array.ndim not in (1, 2) or array.size == 0 or array.size != len(array):
        raise InvalidInput(
            f"images for input '{image_input}' of model '{request.model.name}' come as a BYTES "
            f"tensor of shape [N] or [N,1] with N >= 1, got {list(array.shape)}"
        )
    given = request.parameters
    own = {name: str(given[name]) for name in parameter_names if name in given}
    options = replace(request.options, parameters=own) if own else request.options
    return [
        SegmentRequest(
            model=request.model,
            image=EncodedImage(data),
            options=options,
            id=request.id,
            deadline=request.deadline,
            priority=request.priority,
            queue_timeout_us=request.queue_timeout_us,
        )
        for data in array.reshape(-1)
    ]


def _bytes_column(values: Sequence[bytes]) -> Array:
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _row_splits(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *counts], dtype=np.int64)


def _rle_column(masks: Sequence[Rle]) -> Array:
    return _bytes_column([mask.counts for mask in masks])


def to_tensors(responses: Sequence[SegmentResponse], mask_format: MaskFormat) -> Tensors:
    """Give the answers of a request's images as columns; `row_splits` says whose rows are whose.

    Raises
    ------
    InvalidInput
        When raw label maps of different sizes were asked for in one tensor.
    """
    sizes = np.array([(r.height_px, r.width_px) for r in responses], dtype=np.int32)
    regions = [r.regions for r in responses if r.regions is not None]
    if len(regions) == len(responses):
        return {**_region_columns(regions, mask_format), "image_size": sizes}
    maps = [r.label_map for r in responses if r.label_map is not None]
    return {**_map_columns(maps, mask_format), "image_size": sizes}


def _region_columns(regions: Sequence[Regions], mask_format: MaskFormat) -> dict[str, Array]:
    columns: dict[str, Array] = {
        "boxes": np.concatenate([r.boxes for r in regions]),
        "scores": np.concatenate([r.scores for r in regions]),
        "labels": np.concatenate([r.labels for r in regions]),
        "areas": np.concatenate([r.areas for r in regions]),
        "row_splits": _row_splits([len(r) for r in regions]),
    }
    if mask_format is MaskFormat.RLE:
        columns["mask_rle"] = _rle_column([mask for r in regions for mask in r.masks])
    return columns


def _map_columns(maps: Sequence[LabelMap], mask_format: MaskFormat) -> dict[str, Array]:
    segments = [segment for label_map in maps for segment in label_map.segments]
    columns: dict[str, Array] = {
        "labels": np.array([s.label_id for s in segments], dtype=np.int32),
        "areas": np.array([s.area for s in segments], dtype=np.int64),
        "row_splits": _row_splits([len(m.segments) for m in maps]),
    }
    if mask_format is MaskFormat.RLE:
        columns["mask_rle"] = _rle_column([s.mask for s in segments if s.mask is not None])
    elif mask_format is MaskFormat.PNG:
        columns["label_map"] = _bytes_column([m.png for m in maps if m.png is not None])
    elif mask_format is MaskFormat.RAW:
        columns["label_map"] = _stacked([m.labels for m in maps if m.labels is not None])
    return columns


def _stacked(labels: Sequence[Array]) -> Array:
    sizes = {array.shape for array in labels}
    if len(sizes) > 1:
        raise InvalidInput(
            f"raw label maps of one request must have one size, got {sorted(sizes)}: send one "
            f"image a request, or ask for mask_format=png or rle"
        )
    return np.stack(labels)
