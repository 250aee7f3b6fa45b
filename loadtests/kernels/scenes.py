"""Seeded inputs of the kernel cases: what networks give for pictures with a hundred objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def soft_blobs(count: int, side: int, seed: int = 0) -> Floats:
    """Wavy ellipses with soft outlines, float32 [count, side, side], as mask heads give them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    masks = []
    for _ in range(count):
        axes, centre = rng.uniform(0.5, 0.95, 2), rng.uniform(-0.1, 0.1, 2)
        waves, phase, steepness = rng.integers(2, 6), rng.uniform(0, 6), rng.uniform(3, 12)
        angle = np.arctan2(y - centre[1], x - centre[0])
        radius = 1 + 0.15 * np.sin(waves * angle + phase)
        inside = radius - np.hypot((x - centre[0]) / axes[0], (y - centre[1]) / axes[1])
        masks.append(1 / (1 + np.exp(-steepness * inside)))
    return np.array(masks, dtype=np.float32)


def boxes(count: int, height: int, width: int, seed: int = 1) -> Floats:
    """Boxes with sides of 20 to 700 pixels, evenly in the logarithm, float32 [count, 4]."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(20), np.log(700), (count, 2)))
    sides = np.minimum(sides, [width - 1, height - 1])
    corners = rng.uniform(0, 1, (count, 2)) * ([width, height] - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def prototypes(side: int, depth: int, seed: int = 2) -> Floats:
    """Smooth non-negative maps, float32 [side, side, depth]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = rng.uniform(1, 12, (depth, 2))
    phases = rng.uniform(0, 6.3, (depth, 2))
    maps = [
        np.sin(a * x + p) * np.cos(b * y + q) + 0.3
        for (a, b), (p, q) in zip(waves, phases, strict=True)
    ]
    return np.ascontiguousarray(np.maximum(np.stack(maps, axis=2), 0) * 2, dtype=np.float32)


def soft_ellipses(count: int, height: int, width: int, seed: int = 3) -> Floats:
    """Soft ellipses anywhere on a grid, float32 [count, height, width]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    masks = []
    for _ in range(count):
        axes = np.exp(rng.uniform(np.log(8), np.log(80), 2))
        centre = rng.uniform(0, 1, 2) * [height, width]
        inside = 1 - np.hypot((y - centre[0]) / axes[0], (x - centre[1]) / axes[1])
        masks.append(1 / (1 + np.exp(-inside * rng.uniform(5, 20))))
    return np.array(masks, dtype=np.float32)


def logits(classes: int, side: int, seed: int = 4) -> Floats:
    """Logits of patches of one class with smooth borders, float32 [classes, side, side]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    centres = rng.uniform(0, 1, (classes, 2))
    radii = rng.uniform(0.05, 0.5, classes)
    maps = [12 * (r - np.hypot(y - cy, x - cx)) for (cy, cx), r in zip(centres, radii, strict=True)]
    return np.array(maps, dtype=np.float32)


def label_map(side: int, seed: int = 5) -> npt.NDArray[np.uint8]:
    """Label map of 21 classes in patches, uint8 [side, side]."""
    labels: npt.NDArray[np.uint8] = logits(21, side, seed).argmax(axis=0).astype(np.uint8)
    return labels


def photograph(height: int, width: int, seed: int = 6) -> npt.NDArray[np.uint8]:
    """Picture with structure at all scales, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cell in (64, 32, 16, 8, 4, 2):
        coarse = rng.normal(0, cell, (-(-height // cell), -(-width // cell), 3))
        picture += np.kron(coarse, np.ones((cell, cell, 1)))[:height, :width]
    return np.clip(picture + 128, 0, 255).astype(np.uint8)
