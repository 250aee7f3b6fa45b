"""Images inside a tensor request: BYTES in place of the model's image, and regions as tensors.

A request that sends a BYTES tensor of encoded images (shape [N] or [N, 1], any sizes) where the
model expects its image tensor is decoded by the server. The answer holds, for instance models,
``boxes scores labels areas row_splits mask_rle image_size``; for semantic models
``labels areas row_splits mask_rle image_size``, with ``label_map`` in place of ``mask_rle`` when
the mask format is PNG or raw. Panoptic models give the detections' columns, and the map's with
names of their own: ``segment_ids segment_labels segment_areas segment_scores segment_things
segment_row_splits``, and ``segment_mask_rle`` or ``segment_map``. Where a refinement was asked for,
``refined`` says of each image whether it took place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import EncodedImage, InferRequest, SegmentRequest, SegmentResponse
from segserve.core.options import OPTION_NAMES, MaskFormat
from segserve.core.regions import Regions, Rle
from segserve.core.tensor import Array, Tensors

_NO_SCORE = -1.0  # of stuff; JSON has no NaN
_NEAR = 0.75
_LONGEST_NAME, _MOST_NAMES = 64, 16


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
        When the tensor is not [N] or [N, 1], or is empty; when a parameter is a misspelt option.
    """
    array = request.inputs[image_input]
    if array.ndim not in (1, 2) or array.size == 0 or array.size != len(array):
        raise InvalidInput(
            f"images for input '{image_input}' of model '{request.model.name}' come as a BYTES "
            f"tensor of shape [N] or [N,1] with N >= 1, got {list(array.shape)}"
        )
    given = request.parameters
    _refuse_misspelt(given, (*OPTION_NAMES, *parameter_names))
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


def _refuse_misspelt(given: Collection[str], known: Collection[str]) -> None:
    """Refuse what was meant as an option; parameters of the caller's own are left alone."""
    unknown = (name for name in given if name not in known and len(name) <= _LONGEST_NAME)
    for name in islice(unknown, _MOST_NAMES):  # each costs 10 to 20 us of the loop
        if near := get_close_matches(name, known, n=1, cutoff=_NEAR):
            raise InvalidInput(f"parameter '{name}': no such option, did you mean '{near[0]}'?")


def _bytes_column(values: Sequence[bytes]) -> Array:
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _row_splits(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *counts], dtype=np.int64)


def _rle_column(masks: Sequence[Rle]) -> Array:
    return _bytes_column([mask.counts for mask in masks])


def answer_tensors(kind: str) -> list[dict[str, object]]:
    """Tell which tensors `to_tensors` gives for a kind of model, ready for JSON.

    Parameters
    ----------
    kind : str
        ``instance``, ``proposals``, ``panoptic``, ``semantic`` or ``classical``.

    Returns
    -------
    list of dict
        ``name``, ``datatype``, ``shape`` (-1: as many as there are) and, where a tensor is there
        for some requests only, ``mask_format`` or ``option``.
    """
    told = list(_REGION_TENSORS if kind in _REGION_KINDS else _MAP_TENSORS)
    if kind == "panoptic":
        told += _SEGMENT_TENSORS
    told.append(_told("image_size", "INT32", -1, 2))
    if kind == "semantic":
        told.append(_told("refined", "BOOL", -1, option="refine"))
    return told


def _told(name: str, datatype: str, *shape: int, **only: str) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": list(shape), **only}


def _told_pixels(rle: str, whole: str) -> tuple[dict[str, object], ...]:
    return (
        _told(rle, "BYTES", -1, mask_format="rle"),
        _told(whole, "BYTES", -1, mask_format="png"),
        _told(whole, "UINT8 or UINT16", -1, -1, -1, mask_format="raw"),
    )


_REGION_KINDS = ("instance", "proposals", "panoptic")
_ROWS = (_told("areas", "INT64", -1), _told("row_splits", "INT64", -1))
_REGION_TENSORS = (
    _told("boxes", "FP32", -1, 4), _told("scores", "FP32", -1), _told("labels", "INT32", -1),
    *_ROWS, _told("mask_rle", "BYTES", -1, mask_format="rle"),
)  # fmt: skip
_MAP_TENSORS = (_told("labels", "INT32", -1), *_ROWS, *_told_pixels("mask_rle", "label_map"))
_SEGMENT_TENSORS = (
    _told("segment_ids", "INT32", -1), _told("segment_labels", "INT32", -1),
    _told("segment_areas", "INT64", -1), _told("segment_scores", "FP32", -1),
    _told("segment_things", "BOOL", -1), _told("segment_row_splits", "INT64", -1),
    *_told_pixels("segment_mask_rle", "segment_map"),
)  # fmt: skip


def to_tensors(responses: Sequence[SegmentResponse], mask_format: MaskFormat) -> Tensors:
    """Give the answers of a request's images as columns; `row_splits` says whose rows are whose.

    Raises
    ------
    InvalidInput
        When raw label maps of different sizes were asked for in one tensor.
    """
    regions = [r.regions for r in responses if r.regions is not None]
    maps = [r.label_map for r in responses if r.label_map is not None]
    columns: dict[str, Array] = {}
    if regions:
        columns |= _region_columns(regions, mask_format)
    if maps:
        columns |= (_segment_columns if regions else _map_columns)(maps, mask_format)
    columns["image_size"] = np.array([(r.height_px, r.width_px) for r in responses], np.int32)
    refined = [r.refined for r in responses if r.refined is not None]
    if refined:
        columns["refined"] = np.array(refined, dtype=np.bool_)
    return columns


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
    segments = _segments(maps)
    return {
        "labels": np.array([s.label_id for s in segments], dtype=np.int32),
        "areas": np.array([s.area for s in segments], dtype=np.int64),
        "row_splits": _row_splits([len(m.segments) for m in maps]),
        **_pixel_columns(maps, mask_format, rle="mask_rle", whole="label_map"),
    }


def _segment_columns(maps: Sequence[LabelMap], mask_format: MaskFormat) -> dict[str, Array]:
    """Give the merged maps of a panoptic model, to stand beside its detections."""
    segments = _segments(maps)
    scores = [_NO_SCORE if s.score is None else s.score for s in segments]
    return {
        "segment_ids": np.array([s.segment_id for s in segments], dtype=np.int32),
        "segment_labels": np.array([s.label_id for s in segments], dtype=np.int32),
        "segment_areas": np.array([s.area for s in segments], dtype=np.int64),
        "segment_scores": np.array(scores, dtype=np.float32),
        "segment_things": np.array([s.is_thing for s in segments], dtype=np.bool_),
        "segment_row_splits": _row_splits([len(m.segments) for m in maps]),
        **_pixel_columns(maps, mask_format, rle="segment_mask_rle", whole="segment_map"),
    }


def _segments(maps: Sequence[LabelMap]) -> list[Segment]:
    return [segment for label_map in maps for segment in label_map.segments]


def _pixel_columns(
    maps: Sequence[LabelMap], mask_format: MaskFormat, *, rle: str, whole: str
) -> dict[str, Array]:
    if mask_format is MaskFormat.RLE:
        return {rle: _rle_column([s.mask for s in _segments(maps) if s.mask is not None])}
    if mask_format is MaskFormat.PNG:
        return {whole: _bytes_column([m.png for m in maps if m.png is not None])}
    if mask_format is MaskFormat.RAW:
        return {whole: _stacked([m.labels for m in maps if m.labels is not None])}
    return {}


def _stacked(labels: Sequence[Array]) -> Array:
    sizes = {array.shape for array in labels}
    if len(sizes) > 1:
        raise InvalidInput(
            f"raw label maps of one request must have one size, got {sorted(sizes)}: send one "
            f"image a request, or ask for mask_format=png or rle"
        )
    return np.stack(labels)
