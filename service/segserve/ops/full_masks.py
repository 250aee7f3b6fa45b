"""Masks over the whole picture at the network's stride: SOLO, SOLOv2, Decoupled SOLO.

Source of the semantics: WXinlong/SOLO ``mmdet/models/anchor_heads/solov2_head.py``
(``get_seg_single``): two bilinear interpolations of torch, then a threshold.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import rle
from segserve.ops.bilinear import Floats, count_of_lanes, torch_axis

_RANK = 3

Size = tuple[int, int]


def resize_masks_to_rle(
    masks: Array, padded: Size, content: Size, source: Size, threshold: float = 0.5
) -> tuple[Rle, ...]:
    """Bring masks of the network's grid to the source picture and encode them.

    Each mask is interpolated to the network's input (`padded`), cut to its `content` and
    interpolated to the source.

    Parameters
    ----------
    masks : float32 or float16 [N, h, w]
        Probabilities.
    padded : (height, width)
        Of the network's input, padding included.
    content : (height, width)
        Its upper left part that holds the picture.
    source : (height, width)
        Of the picture; of the masks given back.
    threshold : float
        A pixel is set when its interpolated probability is greater.

    Returns
    -------
    rles : tuple of Rle, length N

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes, or content that does not lie inside of the padded size.
    """
    _check(masks, padded, content, source)
    masks = np.ascontiguousarray(masks, dtype=np.float32)
    y = _composed(masks.shape[1], padded[0], content[0], source[0])
    x = _composed(masks.shape[2], padded[1], content[1], source[1])
    lanes = (count_of_lanes(len(masks), *padded), count_of_lanes(len(masks), *source))
    edges, splits = _kernel().trace_twice(masks, y, x, threshold, lanes)
    return rle.edges_to_rles(edges, splits, *source)


def _kernel() -> Any:
    from segserve.ops import full_masks_kernel  # noqa: PLC0415  numba opens late

    return full_masks_kernel


_Composed = tuple[npt.NDArray[np.int32], Floats, npt.NDArray[np.int32], Floats]


@lru_cache(maxsize=512)
def _composed(size: int, padded_px: int, content_px: int, source_px: int) -> _Composed:
    """Chain two of torch's axes: samples to padded pixels, their content to source pixels.

    Returns
    -------
    samples : int32 [n, 4]
        On both sides of the first padded pixel that each source pixel lies beside, and of the
        second; none falls along a row.
    weights : float32 [n, 3]
        Shares of the second sample in each pair, and of the second padded pixel.
    begins : int32 [size + 1]
        The first source pixel whose first sample is this one or later.
    taps : float32 [n, K]
        Share of the first sample and of those after it.
    """
    inner, outer = torch_axis(size, padded_px), torch_axis(content_px, source_px)
    first, second = outer.low, outer.high
    samples = np.stack(
        [inner.low[first], inner.high[first], inner.low[second], inner.high[second]], axis=1
    )
    weights = np.stack([inner.weight[first], inner.weight[second], outer.weight], axis=1)
    near, far, share = weights.T
    shares = np.stack(
        [(1 - near) * (1 - share), near * (1 - share), (1 - far) * share, far * share], axis=1
    )
    offsets = samples - samples[:, :1]
    taps = np.zeros((source_px, max(int(offsets.max()) + 1, 2)), dtype=np.float32)
    np.add.at(taps, (np.arange(source_px)[:, None], offsets), shares)
    begins = np.searchsorted(samples[:, 0], np.arange(size + 1))
    return samples.astype(np.int32), weights, begins.astype(np.int32), taps


def _check(masks: Array, padded: Size, content: Size, source: Size) -> None:
    if masks.ndim != _RANK or 0 in masks.shape[1:] or masks.dtype.kind != "f":
        raise InvalidInput(f"expected float masks [N, h, w], got {masks.dtype} {list(masks.shape)}")
    inside = content[0] <= padded[0] and content[1] <= padded[1]
    if not inside or min(*content, *source) < 1:
        raise InvalidInput(
            f"expected 1x1 <= content <= padded and a source of 1x1 at least, got content "
            f"{list(content)}, padded {list(padded)}, source {list(source)}"
        )
