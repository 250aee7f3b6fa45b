"""Training batches of scenes with their objects apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.scenes import make_scene
from segserve.training.scene_batches import Bytes, normalised

_HEIGHT_PX, _WIDTH_PX = 240, 320  # the smaller buckets of the served models
_LEAST_VISIBLE_PX = 60


@dataclass(frozen=True)
class Objects:
    """What is in one image.

    Parameters
    ----------
    masks : bool [N, H, W]
        What is seen of each object.
    classes : int64 [N]
        0-based, background not counted.
    """

    masks: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.int64]

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """Tight boxes, float32 [N, 4]: x1, y1, x2, y2, the last two exclusive."""
        out = np.zeros((len(self.masks), 4), np.float32)
        for row, mask in enumerate(self.masks):
            x, y = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            out[row] = x[0], y[0], x[-1] + 1, y[-1] + 1
        return out


@dataclass(frozen=True)
class ObjectBank:
    """Scenes drawn from consecutive seeds.

    Parameters
    ----------
    images : uint8 [N, 240, 320, 3]
    instances : uint8 [N, 240, 320]
        0 for background, else the object's number from 1.
    labels : tuple of tuple of int
        Label of object 1, 2, ... of each scene.
    """

    images: Bytes
    instances: Bytes
    labels: tuple[tuple[int, ...], ...]

    @classmethod
    def draw(cls, first_seed: int, count: int, backgrounds: Sequence[Bytes]) -> ObjectBank:
        """Draw `count` scenes from the seeds `first_seed`, `first_seed` + 1, ..."""
        scenes = [
            make_scene(first_seed + i, _HEIGHT_PX, _WIDTH_PX, backgrounds=backgrounds)
            for i in range(count)
        ]
        return cls(
            np.stack([scene.image for scene in scenes]),
            np.stack([scene.instances.astype(np.uint8) for scene in scenes]),
            tuple(scene.instance_labels for scene in scenes),
        )

    def batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[npt.NDArray[np.float32], tuple[Objects, ...]]:
        """Give a batch of varied scenes, all of one of the served sizes.

        Returns
        -------
        images : float32 [size, 3, H, W]
            Normalised as the served model's config says. H x W is 240 x 320, 320 x 240, or
            320 x 320 with padding, which is 0, below or to the right.
        objects : tuple of Objects
            One per image.
        """
        turned, padded = bool(rng.integers(2)), rng.random() < 1 / 3
        shape = (_HEIGHT_PX, _WIDTH_PX)[:: -1 if turned else 1]
        if padded:
            shape = (_WIDTH_PX, _WIDTH_PX)
        images = np.zeros((size, 3, *shape), np.float32)
        objects = []
        for row in range(size):
            index = int(rng.integers(len(self.images)))
            image, numbers = self.images[index], self.instances[index]
            image, numbers = _placed(rng, image, numbers, turned=turned)
            height, width = numbers.shape
            images[row, :, :height, :width] = normalised(rng, image)
            canvas = np.zeros(shape, np.uint8)
            canvas[:height, :width] = numbers
            objects.append(_objects(canvas, self.labels[index]))
        return images, tuple(objects)


def _placed(
    rng: np.random.Generator, image: Bytes, numbers: Bytes, *, turned: bool
) -> tuple[Bytes, Bytes]:
    """Turn by a quarter or not, and mirror either way by chance."""
    if turned:
        image, numbers = np.rot90(image), np.rot90(numbers)
    across, down = (slice(None, None, -1 if rng.integers(2) else 1) for _ in range(2))
    return image[down, across], numbers[down, across]


def _objects(numbers: Bytes, labels: Sequence[int]) -> Objects:
    every = np.arange(1, len(labels) + 1)
    masks = numbers == every[:, None, None]
    seen = masks.sum(axis=(1, 2)) >= _LEAST_VISIBLE_PX
    return Objects(masks[seen], np.asarray(labels, np.int64)[seen] - 1)
