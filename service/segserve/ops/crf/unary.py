"""Unary terms for `segserve.ops.crf.dense_crf`: negative log probabilities from what one has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

CLIP = 1e-5
"""Smallest probability, so that its logarithm is finite (pydensecrf's ``unary_from_softmax``)."""

_RANK = 3
Floats = npt.NDArray[np.float32]


def unary_from_logits(logits: Array) -> Floats:
    """Give minus the log of the softmax over the labels.

    Parameters
    ----------
    logits : float [C, H, W]

    Returns
    -------
    unary : float32 [C, H, W]

    Raises
    ------
    InvalidInput
        On a wrong rank or dtype, or NaN.
    """
    _check(logits, "logits")
    values = logits.astype(np.float32)
    values -= values.max(axis=0)
    whole = np.log(np.exp(values).sum(axis=0))
    if not np.isfinite(whole).all():
        raise InvalidInput("logits must hold at least one finite value per pixel, and no NaN")
    unary: Floats = np.minimum(whole - values, -np.float32(np.log(CLIP)))
    return unary


def unary_from_probabilities(probabilities: Array) -> Floats:
    """Give minus the log of probabilities, which are clipped to [1e-5, 1] before.

    Parameters
    ----------
    probabilities : float [C, H, W]
        In [0, 1].

    Returns
    -------
    unary : float32 [C, H, W]

    Raises
    ------
    InvalidInput
        On a wrong rank or dtype, NaN, or values out of range.
    """
    _check(probabilities, "probabilities")
    values = probabilities.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1 + CLIP):
        raise InvalidInput(f"probabilities must lie in [0, 1], got {low:g}..{high:g}")
    clipped: Floats = -np.log(np.clip(values, CLIP, 1))
    return clipped


def unary_from_labels(
    labels: npt.NDArray[Any],
    label_count: int,
    confidence: float,
    *,
    unsure_id: int | None = None,
) -> Floats:
    """Give unary terms of a label map that is right with probability `confidence`.

    Parameters
    ----------
    labels : int [H, W]
        In 0..label_count - 1, or `unsure_id`.
    label_count : int >= 2
    confidence : float in (0, 1)
        Of the label given; the others share the rest evenly.
    unsure_id : int, optional
        Pixels with this value may be anything, as ``zero_unsure`` in pydensecrf.

    Returns
    -------
    unary : float32 [C, H, W]

    Raises
    ------
    InvalidInput
        On values out of range.
    """
    if labels.ndim != _RANK - 1 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise InvalidInput(
            f"labels must be integers [H, W], got {labels.dtype} {list(labels.shape)}"
        )
    if label_count <= 1 or not 0 < confidence < 1:
        raise InvalidInput(
            "label_count must be 2 or more and confidence in (0, 1), got "
            f"{label_count} and {confidence}"
        )
    unsure = labels == unsure_id if unsure_id is not None else np.zeros(labels.shape, np.bool_)
    sure = np.where(unsure, 0, labels)
    if sure.min() < 0 or sure.max() >= label_count:
        raise InvalidInput(
            f"labels must be in 0..{label_count - 1}, got {sure.min()}..{sure.max()}"
        )
    other = -np.log((1 - confidence) / (label_count - 1))
    unary = np.full((label_count, *labels.shape), other, np.float32)
    np.put_along_axis(unary, sure[None].astype(np.int64), np.float32(-np.log(confidence)), axis=0)
    unary[:, unsure] = np.log(label_count)
    return unary


def _check(planes: Array, name: str) -> None:
    if planes.ndim != _RANK or planes.dtype.kind != "f" or 0 in planes.shape:
        raise InvalidInput(
            f"{name} must be float [C, H, W] with no empty axis, got {planes.dtype} "
            f"{list(planes.shape)}"
        )
