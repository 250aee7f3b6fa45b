"""torch's bilinear resize of float32 values, fused with the normalisation.

``interpolate(mode="bilinear", align_corners=False)`` without antialiasing, with torch's own source
positions and order of sums (see `segserve.ops.bilinear`), so that the result is torch's to the last
bit but on outputs whose sides add up to 128 pixels or less, where it is within rounding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from segserve.core.tensor import Array
from segserve.ops.bilinear import torch_axis
from segserve.ops.resize import Normalisation, Resized, write_resized


def _kernel() -> Any:
    from segserve.ops import resize_torch_kernel  # noqa: PLC0415  numba opens late

    return resize_torch_kernel


def resize_normalise_torch(
    pixels: Array,
    out: Array,
    normalisation: Normalisation,
    size: tuple[int, int],
    *,
    normalise_first: bool,
) -> None:
    """Resize as torch's ``interpolate`` does in float32, normalise, pad.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
        RGB, any strides.
    out : float32 [3, at least H, at least W]
        Any strides; all of it is written: the upper left [H, W] is the resized image.
    normalisation : Normalisation
    size : (H, W)
        Of the resized image.
    normalise_first : bool
        Resize normalised values (torchvision's detectors) in place of grey levels (YOLACT).

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    write = partial(_write, normalise_first=normalise_first)
    write_resized(pixels, out, normalisation, size, write)


def _write(job: Resized, *, normalise_first: bool) -> None:
    rows = torch_axis(job.pixels.shape[0], job.size[0])
    columns = torch_axis(job.pixels.shape[1], job.size[1])
    rule = job.normalisation
    _kernel().resize(
        job.pixels,
        *(rows.low, rows.high, rows.weight),
        *(columns.low, columns.high, columns.weight),
        rule.table() if normalise_first else Normalisation().table(),
        rule.planes(),
        job.out,
    )
    if not normalise_first:
        content = job.out[:, : job.size[0], : job.size[1]]
        mean, std = (np.asarray(v, np.float32).reshape(3, 1, 1) for v in (rule.mean, rule.std))
        if rule.divisor != 1:
            content /= np.float32(rule.divisor)
        content -= mean
        content /= std
