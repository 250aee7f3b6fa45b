"""What clustering sees of a pixel: intensity, colour, place, and responses of a filter bank.

The bank has 24 filters, a small relative of Leung and Malik's (IJCV 43, 2001): first and second
derivatives of Gaussians at three directions and three scales (18), Laplacians (3) and Gaussians (3)
at the same scales.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.segmentation import Floats

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27  # CIE 15:2004
_SCALES_PX = (1, 2, 4)
_DIRECTIONS = (0.0, np.pi / 3, 2 * np.pi / 3)
FEATURES = ("colour+position", "colour", "intensity", "intensity+position", "texture")


def pixel_features(image: Array, kind: str, position_weight: float) -> Floats:
    """Give every pixel's features, one plane for each.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    kind : str
        One of `FEATURES`.
    position_weight : float
        Grey levels that the longer side counts for, as a share of 255.

    Returns
    -------
    features : float32 [D, H * W]
    """
    height, width = image.shape[:2]
    if kind == "texture":
        return filter_bank(intensity(image)).reshape(-1, height * width)
    planes = intensity(image)[None] if "intensity" in kind else np.moveaxis(image, 2, 0)
    columns = [planes.reshape(-1, height * width).astype(np.float32)]
    if "position" in kind:
        scale = np.float32(255 * position_weight / max(height, width))
        rows, across = np.mgrid[:height, :width].astype(np.float32) * scale
        columns += [across.reshape(1, -1), rows.reshape(1, -1)]
    return np.ascontiguousarray(np.concatenate(columns))


def intensity(image: Array) -> Floats:
    """Give luma, 0 to 255, float32 [H, W]."""
    return np.asarray(image.astype(np.float32) @ _GREY, dtype=np.float32)


def lab(image: Array) -> Floats:
    """Give CIE L*a*b* under D65 of sRGB pixels, float32 [3, H, W]; L* is in 0..100."""
    relative = _xyz(image) / _WHITE
    root = _cube_root_like(relative)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)]).astype(np.float32)


def luv(image: Array) -> Floats:
    """Give CIE L*u*v* under D65 of sRGB pixels, float32 [3, H, W]; L* is in 0..100."""
    xyz = _xyz(image)
    lightness = 116 * _cube_root_like(xyz[..., 1]) - 16
    u, v = _chromaticity(xyz)
    white_u, white_v = _chromaticity(_WHITE)
    scaled = 13 * lightness
    return np.stack([lightness, scaled * (u - white_u), scaled * (v - white_v)]).astype(np.float32)


def _xyz(image: Array) -> npt.NDArray[np.float64]:
    levels = np.arange(256) / 255
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)  # noqa: PLR2004  IEC 61966-2-1
    return np.asarray(linear[image] @ _TO_XYZ.T)


def _cube_root_like(t: Array) -> npt.NDArray[np.float64]:
    return np.where(t > _EPSILON, np.cbrt(t), (_KAPPA * t + 16) / 116)


def _chromaticity(xyz: Array) -> tuple[Array, Array]:
    total = xyz[..., 0] + 15 * xyz[..., 1] + 3 * xyz[..., 2]
    safe = np.where(total > 0, total, 1)
    white_u, white_v = 0.19783000664283, 0.46831999493879  # of D65: black has no colour
    dark = total <= 0
    u = np.where(dark, white_u, 4 * xyz[..., 0] / safe)
    v = np.where(dark, white_v, 9 * xyz[..., 1] / safe)
    return u, v


def smooth(plane: Array, sigma_px: float) -> Floats:
    """Blur a plane, or the last two axes of planes, by a Gaussian; borders are repeated."""
    out = np.asarray(plane, dtype=np.float32)
    if sigma_px <= 0:
        return out
    radius = max(1, round(3 * sigma_px))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (-2, -1):
        out = _along(out, weights, axis)
    return out


def _along(planes: Floats, weights: Floats, axis: int) -> Floats:
    radius = len(weights) // 2
    size = planes.shape[axis]
    edges = [(0, 0)] * planes.ndim
    edges[axis] = (radius, radius)
    padded = np.pad(planes, edges, mode="edge")
    moved = np.moveaxis(padded, axis, 0)
    out = np.zeros(np.moveaxis(planes, axis, 0).shape, np.float32)
    for at, weight in enumerate(weights):
        out += weight * moved[at : at + size]
    return np.moveaxis(out, 0, axis)


def gradients(plane: Array) -> tuple[Floats, Floats]:
    """Give central differences (half of them at the borders) along x and y."""
    padded = np.pad(np.asarray(plane, dtype=np.float32), 1, mode="edge")
    along_x = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    along_y = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return along_x.astype(np.float32), along_y.astype(np.float32)


def filter_bank(grey: Array) -> Floats:
    """Give the 24 responses of a plane in 0..255, each with unit gain of its scale.

    Returns
    -------
    responses : float32 [24, H, W]
    """
    return np.stack(list(_responses(np.asarray(grey, dtype=np.float32))))


def _responses(grey: Floats) -> Iterator[Floats]:
    for scale_px in _SCALES_PX:
        base = smooth(grey, scale_px)
        dx, dy = gradients(base)
        dxx, dxy = gradients(dx)
        _, dyy = gradients(dy)
        yield base
        yield (dxx + dyy) * scale_px**2
        for angle in _DIRECTIONS:
            c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            yield (c * dx + s * dy) * scale_px
            yield (c * c * dxx + 2 * (c * s) * dxy + s * s * dyy) * scale_px**2
