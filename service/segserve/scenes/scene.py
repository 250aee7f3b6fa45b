"""Scenes: shapes of several classes over a background, with labels and instances per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.scenes import paint
from segserve.scenes.shapes import OUTLINES

CLASS_NAMES: tuple[str, ...] = ("background", *OUTLINES)
"""Label n is entry n."""

HUES_DEG: tuple[float, ...] = (0.0, *(360 * n / len(OUTLINES) for n in range(len(OUTLINES))))
"""Each class has colours of its own, as things in the world tend to; backgrounds are paler."""

_MOST_SHAPES = 7


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Parameters
    ----------
    image : uint8 [H, W, 3]
        RGB.
    labels : uint8 [H, W]
        Index into `CLASS_NAMES`: the shape whose outline holds the pixel's centre, topmost first.
    instances : int32 [H, W]
        0 for background, else the number of the shape, from 1 in order of drawing.
    instance_labels : tuple of int
        Label of instance 1, 2, ...; instances that are covered whole stay in the list.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]
    instance_labels: tuple[int, ...]


def make_scene(
    seed: int,
    height_px: int,
    width_px: int,
    *,
    backgrounds: Sequence[npt.NDArray[np.uint8]] = (),
) -> Scene:
    """Draw a scene; equal arguments give equal bytes.

    Parameters
    ----------
    seed : int
        Not negative.
    height_px, width_px : int
        At least 1.
    backgrounds : sequence of uint8 [h, w, 3]
        Photographs, crops of which serve as background about every second time.

    Raises
    ------
    ValueError
        When the size is not positive.
    """
    if height_px < 1 or width_px < 1:
        raise ValueError(f"a scene is at least 1x1 pixels, got {height_px}x{width_px}")
    rng = np.random.default_rng(seed)
    canvas = paint.background(rng, height_px, width_px, backgrounds)
    labels = np.zeros((height_px, width_px), np.uint8)
    instances = np.zeros((height_px, width_px), np.int32)
    drawn: list[int] = []
    for _ in range(int(rng.integers(2, _MOST_SHAPES + 1))):
        label = int(rng.integers(1, len(CLASS_NAMES)))
        drawn.append(label)
        _draw(rng, canvas, label, (labels, instances, len(drawn)))
    return Scene(paint.finish(rng, canvas), labels, instances, tuple(drawn))


def _draw(
    rng: np.random.Generator,
    canvas: npt.NDArray[np.float64],
    label: int,
    truth: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], int],
) -> None:
    """Draw one shape of class `label` and write it into the truth."""
    height, width = canvas.shape[:2]
    radius = rng.uniform(0.14, 0.32) * min(height, width)
    centre_y, centre_x = rng.uniform(0.05, 0.95) * height, rng.uniform(0.05, 0.95) * width
    top, left = max(0, int(centre_y - radius * 1.5)), max(0, int(centre_x - radius * 1.5))
    window = (
        slice(top, min(height, int(centre_y + radius * 1.5) + 2)),
        slice(left, min(width, int(centre_x + radius * 1.5) + 2)),
    )
    y, x = np.mgrid[window]
    angle, squeeze = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.0)
    dy, dx = (y + 0.5 - centre_y) / radius, (x + 0.5 - centre_x) / radius
    local_x = dx * np.cos(angle) + dy * np.sin(angle)
    local_y = (dy * np.cos(angle) - dx * np.sin(angle)) / squeeze
    distance_px = OUTLINES[CLASS_NAMES[label]](local_x, local_y) * radius
    cover = np.clip(0.5 - distance_px, 0.0, 1.0)[..., None]
    covered = canvas[window].mean(axis=(0, 1)) if canvas[window].size else np.zeros(3)
    colour = paint.hued(rng, HUES_DEG[label], covered)
    fill = paint.textured(rng, colour, *distance_px.shape)
    canvas[window] = canvas[window] * (1 - cover) + fill * cover
    labels, instances, number = truth
    inside = distance_px < 0
    labels[window][inside] = label
    instances[window][inside] = number
