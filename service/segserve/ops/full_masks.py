"""Masks over the whole picture at the network's stride: SOLO, SOLOv2, Decoupled SOLO.

Source of the semantics: WXinlong/SOLO ``mmdet/models/anchor_heads/solov2_head.py``
(``get_seg_single``): two bilinear interpolations of torch, then a threshold.
"""

from __future__ import annotations

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import bilinear, rle

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
    found = []
    for mask in masks:
        network = bilinear.resize(mask[None], *padded)[:, : content[0], : content[1]]
        found.append(rle.encode(bilinear.resize(network, *source)[0] > np.float32(threshold)))
    return tuple(found)


def _check(masks: Array, padded: Size, content: Size, source: Size) -> None:
    if masks.ndim != _RANK or 0 in masks.shape[1:] or masks.dtype.kind != "f":
        raise InvalidInput(f"expected float masks [N, h, w], got {masks.dtype} {list(masks.shape)}")
    inside = content[0] <= padded[0] and content[1] <= padded[1]
    if not inside or min(*content, *source) < 1:
        raise InvalidInput(
            f"expected 1x1 <= content <= padded and a source of 1x1 at least, got content "
            f"{list(content)}, padded {list(padded)}, source {list(source)}"
        )
