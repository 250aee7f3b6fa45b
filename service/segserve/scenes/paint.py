"""Colours, textures, light and noise; all from a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
_PHOTOGRAPH_SHARE, _TEXTURED_SHARE, _BLURRED_SHARE = 0.4, 0.4, 0.35
_HUE_SPREAD_DEG = 22.0
_LEAST_CONTRAST = 60.0  # grey levels between a shape's colour and what it covers


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Floats:
    """Low-frequency noise in [0, 1]: a random grid of `cells` per side, blended bilinearly."""
    grid = rng.random((cells + 1, cells + 1))
    y = np.linspace(0, cells, height, endpoint=False)
    x = np.linspace(0, cells, width, endpoint=False)
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    top = grid[y0][:, x0] * (1 - fx) + grid[y0][:, x0 + 1] * fx
    bottom = grid[y0 + 1][:, x0] * (1 - fx) + grid[y0 + 1][:, x0 + 1] * fx
    blended: Floats = top * (1 - fy) + bottom * fy
    return blended


def pattern(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Give a texture in [-1, 1]: plain, stripes, checks, gradient, blotches or grain."""
    kind = ("plain", "stripes", "checks", "gradient", "blotches", "grain")[int(rng.integers(6))]
    y, x = np.mgrid[0:height, 0:width]
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 22)
    along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period
    across = (y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period
    match kind:
        case "stripes":
            texture: Floats = np.sign(np.sin(along))
        case "checks":
            texture = np.sign(np.sin(along) * np.sin(across))
        case "gradient":
            texture = (along - along.min()) / max(float(np.ptp(along)), 1e-9) * 2 - 1
        case "blotches":
            texture = smooth_noise(rng, height, width, int(rng.integers(3, 9))) * 2 - 1
        case "grain":
            texture = rng.uniform(-1, 1, (height, width))
        case _:
            texture = np.zeros((height, width))
    return texture


def textured(rng: np.random.Generator, colour: Floats, height: int, width: int) -> Floats:
    """Give a colour with a texture over it [height, width, 3]; not clipped."""
    strength = rng.uniform(-30, 30) + rng.uniform(-8, 8, 3)
    return colour + pattern(rng, height, width)[..., None] * strength


def background(
    rng: np.random.Generator, height: int, width: int, photographs: Sequence[Bytes]
) -> Floats:
    """Give a photograph's crop, or blotches and textures, [height, width, 3] in grey levels."""
    if photographs and rng.random() < _PHOTOGRAPH_SHARE:
        return _crop(rng, photographs[int(rng.integers(len(photographs)))], height, width)
    low, high = _pale(rng), _pale(rng)
    mix = smooth_noise(rng, height, width, int(rng.integers(1, 6)))[..., None]
    plain: Floats = low * (1 - mix) + high * mix
    if rng.random() < _TEXTURED_SHARE:
        plain = plain + textured(rng, np.zeros(3), height, width)
    return plain


def _crop(rng: np.random.Generator, photograph: Bytes, height: int, width: int) -> Floats:
    """Cut a random window, sampled at the nearest pixel so that it fills the scene."""
    scale = rng.uniform(0.4, 1.0)
    rows = max(1, int(photograph.shape[0] * scale))
    columns = max(1, int(photograph.shape[1] * scale))
    top = int(rng.integers(photograph.shape[0] - rows + 1))
    left = int(rng.integers(photograph.shape[1] - columns + 1))
    y = top + np.arange(height) * rows // height
    x = left + np.arange(width) * columns // width
    return photograph[y][:, x].astype(np.float64)


def hued(rng: np.random.Generator, hue_deg: float, covered: Floats) -> Floats:
    """Give a strong colour near a hue, one that stands out from the mean of what it covers."""
    colour = _one_hued(rng, hue_deg)
    for _ in range(20):
        if np.abs(colour - covered).max() >= _LEAST_CONTRAST:
            break
        colour = _one_hued(rng, hue_deg)
    return colour


def _one_hued(rng: np.random.Generator, hue_deg: float) -> Floats:
    hue = (hue_deg + rng.uniform(-_HUE_SPREAD_DEG, _HUE_SPREAD_DEG)) / 360 % 1
    return np.array(hsv_to_rgb(hue, rng.uniform(0.55, 1.0), rng.uniform(0.45, 1.0))) * 255


def _pale(rng: np.random.Generator) -> Floats:
    return np.array(hsv_to_rgb(rng.random(), rng.uniform(0, 0.35), rng.random())) * 255


def finish(rng: np.random.Generator, image: Floats) -> Bytes:
    """Light, shadow, blur and sensor noise; the bytes of a photograph."""
    height, width = image.shape[:2]
    light = 1 + rng.uniform(0, 0.35) * (smooth_noise(rng, height, width, 2) * 2 - 1)
    image = image * light[..., None]
    if rng.random() < _BLURRED_SHARE:
        image = _blur(image)
    image = image + rng.normal(0, rng.uniform(0, 7), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blur(image: Floats) -> Floats:
    """Blur with a 3-tap binomial window in both directions."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    blurred: Floats = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return blurred
