"""Traced planes against the same planes, interpolated pixel by pixel."""

import numpy as np
import pytest

from segserve.ops import rle
from segserve.ops.bilinear import resize, torch_axis
from segserve.ops.tracing import ORDER_GENERIC, RELATIVE_MARGIN, Planes, trace


def planes_of(soft: np.ndarray, height: int, width: int, threshold: float) -> Planes:
    """Whole masks [N, h, w] over the whole image, their last row and column repeated."""
    padded = np.pad(soft, ((0, 0), (0, 1), (0, 1)), mode="edge")
    values = np.ascontiguousarray(padded.transpose(0, 2, 1)).reshape(-1)
    below, above = values < threshold - RELATIVE_MARGIN, values > threshold + RELATIVE_MARGIN
    y, x = torch_axis(soft.shape[1], height), torch_axis(soft.shape[2], width)
    size = padded.shape[1] * padded.shape[2]
    shape = (padded.shape[1], 0, height, 0, width, 0, height, 0, 0, ORDER_GENERIC)
    return Planes(
        values,
        (below * 1 + above * 2).astype(np.uint8),
        np.array([(n * size, *shape) for n in range(len(soft))], np.int64).reshape(-1, 11),
        np.full(len(soft), RELATIVE_MARGIN, np.float32),
        np.concatenate([y.low, x.low]).astype(np.int32),
        np.concatenate([y.weight, x.weight]),
    )


@pytest.mark.parametrize("size", [(100, 140), (13, 130), (200, 7), (50, 1000)])
@pytest.mark.parametrize("kind", ["noise", "steps", "ramp"])
def test_equals_every_pixel(size, kind: str) -> None:
    rng = np.random.default_rng(0)
    soft = rng.random((5, 17, 23), dtype=np.float32)
    if kind == "steps":
        soft = np.round(soft * 2) / 2
    if kind == "ramp":
        soft = np.sort(soft, axis=1)
    for strict in (True, False):
        got = trace(planes_of(soft, *size, 0.5), *size, 0.5, strict=strict)
        pixels = resize(soft, *size)
        want = pixels > 0.5 if strict else pixels >= 0.5
        np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)


def test_what_is_not_finite_is_looked_at() -> None:
    soft = np.ones((1, 9, 9), np.float32)
    soft[0, 4, 4] = np.nan
    got = trace(planes_of(soft, 90, 90, 0.5), 90, 90, 0.5, strict=True)
    np.testing.assert_array_equal(rle.decode(got[0]), resize(soft, 90, 90)[0] > 0.5)


def test_no_planes() -> None:
    assert (
        trace(planes_of(np.zeros((0, 3, 3), np.float32), 9, 9, 0.5), 9, 9, 0.5, strict=True) == ()
    )
