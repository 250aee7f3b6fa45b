"""Batches of synthetic scenes for training: drawn once from seeds, varied at every use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.scenes import make_scene

Bytes = npt.NDArray[np.uint8]

IGNORED = 255
"""Label of padding: no loss, no metric."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
_HEIGHT_PX, _WIDTH_PX = 240, 320  # the smaller buckets of the served model
_PAD_SHARE = 0.25


def photographs() -> tuple[Bytes, ...]:
    """Give the training backgrounds: photographs that lie in scikit-image's wheel.

    ``coffee`` and ``chelsea`` are held out: the demo shows them.
    """
    from skimage import data  # noqa: PLC0415  the train extra, opens late

    readers = (data.astronaut, data.rocket)
    return tuple(np.asarray(read(), np.uint8) for read in readers)


@dataclass(frozen=True)
class SceneBank:
    """Scenes drawn from consecutive seeds.

    Parameters
    ----------
    images : uint8 [N, 240, 320, 3]
    labels : uint8 [N, 240, 320]
    """

    images: Bytes
    labels: Bytes

    @classmethod
    def draw(cls, first_seed: int, count: int, backgrounds: Sequence[Bytes]) -> SceneBank:
        """Draw `count` scenes from the seeds `first_seed`, `first_seed` + 1, ..."""
        scenes = [
            make_scene(first_seed + i, _HEIGHT_PX, _WIDTH_PX, backgrounds=backgrounds)
            for i in range(count)
        ]
        return cls(np.stack([s.image for s in scenes]), np.stack([s.labels for s in scenes]))

    def batch(
        self, rng: np.random.Generator, size: int, crop_px: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Give a batch of varied crops.

        Returns
        -------
        images : float32 [size, 3, crop_px, crop_px]
            Normalised as the served model's config says; padding is the mean, i.e. 0.
        labels : int64 [size, crop_px, crop_px]
            `IGNORED` in the padding.
        """
        pairs = [self._varied(rng, crop_px) for _ in range(size)]
        images = np.stack([image for image, _ in pairs])
        return np.ascontiguousarray(images), np.stack([label for _, label in pairs])

    def _varied(
        self, rng: np.random.Generator, crop_px: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        index = int(rng.integers(len(self.images)))
        top = int(rng.integers(_HEIGHT_PX - crop_px + 1))
        left = int(rng.integers(_WIDTH_PX - crop_px + 1))
        window = (slice(top, top + crop_px), slice(left, left + crop_px))
        image, label = self.images[index][window], self.labels[index][window]
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        image, label = np.rot90(image, turns), np.rot90(label, turns)
        if mirrored:
            image, label = image[:, ::-1], label[:, ::-1]
        inputs = normalised(rng, image)
        targets = label.astype(np.int64)
        if rng.random() < _PAD_SHARE:
            keep = int(rng.uniform(0.7, 1.0) * crop_px)
            inputs[:, keep:], targets[keep:] = 0, IGNORED
        return inputs, targets


def normalised(rng: np.random.Generator, image: Bytes) -> npt.NDArray[np.float32]:
    """Vary the light of uint8 [H, W, 3] a little and normalise: float32 [3, H, W]."""
    light = rng.uniform(0.85, 1.15) * (image.astype(np.float32) / 255) + rng.uniform(-0.05, 0.05)
    inputs = (np.clip(light, 0, 1) - MEAN) / STD
    return inputs.astype(np.float32).transpose(2, 0, 1)
