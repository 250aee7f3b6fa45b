"""A worker's work for a library: frames in, labels out."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.execution.classical_worker import segment
from segserve.execution.worker_frames import Frame


def asked(image, **options):
    return Frame({"segmenter": "felzenszwalb", "options": options}, {"image": image})


def test_labels_come_back() -> None:
    pytest.importorskip("skimage", reason="needs the dev extra: make test")
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 200
    labels = segment(asked(image, scale=100.0, min_size_px=5, sigma_px=0.1)).arrays["labels"]
    assert labels[0].tolist() == [0] * 10 + [1] * 10


def test_options_are_checked() -> None:
    with pytest.raises(InvalidInput, match="min_size_px"):
        segment(asked(np.zeros((4, 4, 3), np.uint8), min_size_px=0))
