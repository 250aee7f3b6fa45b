"""A data set of masks and detections in which everything that COCO treats specially happens."""

import numpy as np
import pytest

from segserve.evaluation.coco_match import Detection, Truth
from segserve.ops.rle import encode

SIDE = 160


def blob(rng):
    """A filled ellipse of any size that COCO tells apart, and its box."""
    mask = np.zeros((SIDE, SIDE), bool)
    radius = rng.choice([6, 20, 45, 70], p=[0.3, 0.3, 0.3, 0.1]) * rng.uniform(0.7, 1.0, 2)
    centre = rng.uniform(20, SIDE - 20, 2)
    y, x = np.mgrid[:SIDE, :SIDE]
    mask[((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1] = True
    return mask


def box_of(mask):
    y, x = np.nonzero(mask)
    if not len(x):
        return (0.0, 0.0, 0.0, 0.0)
    return (
        float(x.min()),
        float(y.min()),
        float(x.max() - x.min() + 1),
        float(y.max() - y.min() + 1),
    )


@pytest.fixture(scope="session")
def make_instances():
    """Gives ``make_instances(seed)``: truths and detections of 12 images and 4 categories.

    Crowds, ties of score, duplicates, categories without truths, images without either, more than
    100 detections in one image.
    """

    def make(seed):
        rng = np.random.default_rng(seed)
        truths, detections = [], []
        for image in range(1, 13):
            for _ in range(int(rng.integers(0, 7))):
                mask, category = blob(rng), int(rng.integers(1, 4))
                crowd = bool(rng.random() < 0.15)
                area = float(mask.sum()) * rng.uniform(0.8, 1.2)
                truths.append(Truth(image, category, box_of(mask), area, encode(mask), crowd))
                for _ in range(int(rng.integers(0, 4))):
                    moved = np.roll(mask, rng.integers(-4, 5, 2), (0, 1))
                    score = float(np.round(rng.random(), 1))
                    detections.append(
                        Detection(image, category, score, box_of(moved), encode(moved))
                    )
            for _ in range(120 if image == 3 else 2):
                mask = blob(rng)
                score, category = float(np.round(rng.random(), 2)), int(rng.integers(1, 5))
                detections.append(Detection(image, category, score, box_of(mask), encode(mask)))
        return truths, detections

    return make
