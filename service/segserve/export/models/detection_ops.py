"""Operations of detectors that exist twice: in plain torch, and as ONNX nodes.

Eager networks and TorchScript run the plain versions, so a ``.pt`` file loads in a bare torch; a
network that is recorded gets them compiled, with their loops. An ONNX export sees a custom operator
instead, which `segserve.export.models.detection_onnx` translates to NonMaxSuppression and RoiAlign.

What they promise is torchvision's (``csrc/ops/cpu/{nms_kernel,roi_align_common}``): a box is
suppressed by a better one when their IoU is strictly greater than the threshold; boxes have no
"+ 1"; of equal scores the lower index comes first, as ONNX Runtime does too. Rows are dropped by a
score of minus infinity: scores may be logits, so zero is no threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch._jit_internal import is_scripting
from torch.jit import is_tracing  # type: ignore[attr-defined]  # torch does not list it

from segserve.export.models.roi_align import Pooling, pyramid_roi_align_plain, roi_align_plain


def _unsuppressed(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Tell which of boxes [N, 4], best first, greedy suppression keeps; bool [N].

    Instead of going through the boxes one by one, all are decided at once and again, until nothing
    changes: after n rounds every box is right whose fate hangs on a chain of less than n others.
    """
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0.0).prod(dim=2)
    over = (shared / (size[:, None] + size[None, :] - shared) > iou_threshold).triu(1)
    keep = torch.ones([boxes.shape[0]], dtype=torch.bool, device=boxes.device)
    changed = True
    while changed:
        better = ~(over & keep[:, None]).any(dim=0)
        changed = not torch.equal(better, keep)
        keep = better
    return keep


def nms_mask_plain(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """See `nms_mask`."""
    keep = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    for group in range(scores.shape[0]):
        order = torch.argsort(scores[group], descending=True, stable=True)
        order = order[scores[group, order] > float("-inf")]
        keep[group, order] = _unsuppressed(boxes[group, order], iou_threshold)
    return keep


@torch.library.custom_op("segserve::nms_mask", mutates_args=())
def _nms_mask_op(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return nms_mask_plain(boxes, scores, iou_threshold)


@_nms_mask_op.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:  # noqa: ARG001  same signature
    return torch.empty_like(scores, dtype=torch.bool)


def _pyramid_roi_align_flat(  # noqa: PLR0913, PLR0917  an operator's schema is flat
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    output_size: int,
    spatial_scales: list[float],
    sampling_ratio: int,
    aligned: bool,  # noqa: FBT001  same
) -> Tensor:
    return pyramid_roi_align_plain(
        features, rois, levels, spatial_scales, Pooling(output_size, sampling_ratio, aligned)
    )


_pyramid_roi_align_op = torch.library.custom_op(
    "segserve::pyramid_roi_align", _pyramid_roi_align_flat, mutates_args=()
)


@_pyramid_roi_align_op.register_fake
def _(  # noqa: PLR0913, PLR0917  same
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,  # noqa: ARG001  same signature
    output_size: int,
    spatial_scales: list[float],  # noqa: ARG001  same
    sampling_ratio: int,  # noqa: ARG001  same
    aligned: bool,  # noqa: ARG001, FBT001  same
) -> Tensor:
    return rois.new_empty([rois.shape[0], features[0].shape[1], output_size, output_size])


def _is_recorded() -> bool:
    return bool(is_tracing())  # type: ignore[no-untyped-call]  # torch leaves it untyped


@cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile a function with its loops, for a network that is recorded while it runs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit", category=DeprecationWarning)
        compiled: Callable[..., Tensor] = torch.jit.script(function)
    return compiled


def nms_mask(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes that overlap a better one, in every group for itself.

    Parameters
    ----------
    boxes : Tensor
        [G, N, 4] float32: x1, y1, x2, y2; a group is an image's level or class.
    scores : Tensor
        [G, N] float32; minus infinity drops a row.
    iou_threshold : float
        A box goes when its IoU with a kept one is greater.

    Returns
    -------
    Tensor
        [G, N] bool: which rows are kept.
    """
    if not is_scripting():
        is_operator = torch.compiler.is_exporting()
        if is_operator or _is_recorded():
            suppress = _nms_mask_op if is_operator else _compiled(nms_mask_plain)
            kept: Tensor = suppress(boxes, scores, iou_threshold)
            return kept
    return nms_mask_plain(boxes, scores, iou_threshold)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes [N, 4] that overlap a better one.

    Returns
    -------
    Tensor
        int64 [M]: rows kept, by falling score, equal scores by lower index.
    """
    kept = nms_mask(boxes.unsqueeze(0), scores.unsqueeze(0), iou_threshold)[0].nonzero().flatten()
    return kept[torch.argsort(scores[kept], descending=True, stable=True)]


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Suppress boxes [N, 4] that overlap a better one of the same group.

    Groups are moved apart by more than the largest coordinate, as ``torchvision.ops.batched_nms``
    does for few boxes.

    Parameters
    ----------
    boxes, scores : Tensor
        [N, 4] and [N] float32.
    groups : Tensor
        [N] int64, not negative.
    iou_threshold : float
        See `nms_mask`.

    Returns
    -------
    Tensor
        int64 [M]: as `nms`.
    """
    # One zero more, so that no boxes have a maximum too.
    side = torch.cat([boxes.flatten(), boxes.new_zeros([1])]).max() + 1.0
    return nms(boxes + (groups.to(boxes.dtype) * side)[:, None], scores, iou_threshold)


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,  # noqa: FBT001  TorchScript knows no keyword-only arguments
) -> Tensor:
    """Pool each box to a square of bilinear samples' means.

    Parameters
    ----------
    features : Tensor
        [B, C, h, w] float32.
    rois : Tensor
        [R, 5] float32: image index, x1, y1, x2, y2 in pixels of the network's input.
    output_size : int
        Cells on each side.
    spatial_scale : float
        Feature pixels per input pixel.
    sampling_ratio : int
        Samples on each side of a cell; 0 takes ``ceil(roi side / output_size)``.
    aligned : bool
        Move by half a feature pixel (detectron2's ROIAlignV2); false: boxes are at least 1 wide.

    Returns
    -------
    Tensor
        [R, C, output_size, output_size].
    """
    # Two statements, as TorchScript would compile both halves of an `and`.
    if not is_scripting():  # noqa: SIM102  said above
        if torch.compiler.is_exporting():
            level = rois[:, 0].long() * 0
            pooled: Tensor = _pyramid_roi_align_op(
                [features], rois, level, output_size, [spatial_scale], sampling_ratio, aligned
            )
            return pooled
    return roi_align_plain(features, rois, output_size, spatial_scale, sampling_ratio, aligned)


def pyramid_roi_align(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    spatial_scales: list[float],
    pooling: Pooling,
) -> Tensor:
    """Pool each box from its own level of a pyramid.

    Parameters
    ----------
    features : list of Tensor
        [B, C, h, w] float32 each.
    rois : Tensor
        [R, 5]; see `roi_align`.
    levels : Tensor
        [R] int64: index into `features`.
    spatial_scales : list of float
        One per level: feature pixels per input pixel.
    pooling : Pooling

    Returns
    -------
    Tensor
        [R, C, output_size, output_size], rows in the order of `rois`.
    """
    if not is_scripting():
        is_operator = torch.compiler.is_exporting()
        if is_operator or _is_recorded():
            pool = _pyramid_roi_align_op if is_operator else _compiled(_pyramid_roi_align_flat)
            pooled: Tensor = pool(
                features,
                rois,
                levels,
                pooling.output_size,
                spatial_scales,
                pooling.sampling_ratio,
                pooling.aligned,
            )
            return pooled
    return pyramid_roi_align_plain(features, rois, levels, spatial_scales, pooling)
