"""Outlines of the scene classes as signed distances in pixels: negative inside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Outline = Callable[[Floats, Floats], Floats]
"""Distance at local points (x, y), both in units of the shape's radius."""


def _polygon(vertices: Floats) -> Outline:
    """Exact signed distance to a simple polygon [n, 2] (Inigo Quilez, "2D distance functions")."""
    starts, ends = vertices, np.roll(vertices, -1, axis=0)

    def distance(x: Floats, y: Floats) -> Floats:
        nearest = np.full(x.shape, np.inf)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(starts, ends, strict=True):
            ex, ey = bx - ax, by - ay
            wx, wy = x - ax, y - ay
            t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
            nearest = np.minimum(nearest, (wx - t * ex) ** 2 + (wy - t * ey) ** 2)
            if ay != by:
                crosses = (ay > y) != (by > y)
                inside ^= crosses & (wx < ex * wy / ey)
        signed: Floats = np.sqrt(nearest) * np.where(inside, -1.0, 1.0)
        return signed

    return distance


def _disc(x: Floats, y: Floats) -> Floats:
    return np.hypot(x, y) - 1.0


def _ring(x: Floats, y: Floats) -> Floats:
    return np.abs(np.hypot(x, y) - 0.76) - 0.24


def _regular(corners: int, inner: float = 1.0) -> Floats:
    """Give a regular polygon; below 1, `inner` draws every second corner in, as in a star."""
    count = corners * (2 if inner < 1 else 1)
    angles = np.arange(count) * 2 * np.pi / count - np.pi / 2
    radii = np.where(np.arange(count) % 2, inner, 1.0) if inner < 1 else np.ones(count)
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


_RECTANGLE = np.array([[-0.9, -0.7], [0.9, -0.7], [0.9, 0.7], [-0.9, 0.7]])
_ARM = 0.3
_QUARTER = np.array([(_ARM, -1), (_ARM, -_ARM), (1, -_ARM)])  # then turned by 90 degrees each
_CROSS = np.concatenate(
    [_QUARTER @ np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), k) for k in range(4)]
)

OUTLINES: dict[str, Outline] = {
    "disc": _disc,
    "rectangle": _polygon(_RECTANGLE),
    "triangle": _polygon(_regular(3)),
    "star": _polygon(_regular(5, 0.42)),
    "ring": _ring,
    "cross": _polygon(_CROSS),
}
