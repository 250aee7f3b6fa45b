"""Which prior answers for what."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.yolact_detection import decoded  # noqa: E402
from segserve.training.instance_batches import Objects  # noqa: E402
from segserve.training.yolact_targets import (  # noqa: E402
    corners,
    offsets_of,
    relative_boxes,
    targets_of,
)


def test_offsets_are_what_the_network_decodes() -> None:
    priors = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.1, 0.8, 0.4, 0.3]])
    wanted = torch.tensor([[0.3, 0.4, 0.7, 0.5], [0.0, 0.6, 0.25, 1.0]])
    got = decoded(offsets_of(wanted, priors)[None], priors)[0]
    assert torch.allclose(got, wanted, atol=1e-6)
    assert np.allclose(corners(priors)[1], [-0.1, 0.65, 0.3, 0.95])


def test_the_targets_of_a_picture_fit_together() -> None:
    pixels = np.zeros((2, 24, 32), np.bool_)
    pixels[0, 0:12, 0:16] = True  # the upper left quarter
    pixels[1, 18:24, 24:32] = True
    objects = Objects(pixels, np.array([4, 0]))
    assert relative_boxes(objects).tolist() == [[0, 0, 0.5, 0.5], [0.75, 0.75, 1, 1]]
    priors = torch.tensor(
        [[0.25, 0.25, 0.5, 0.5], [0.875, 0.875, 0.25, 0.25], [0.5, 0.5, 0.9, 0.9]]
    )
    got = targets_of(objects, priors, 8, 6)
    assert got.rows.tolist() == [0, 1, -1]
    assert got.classes.tolist() == [5, 1, 0]
    assert got.masks.shape == (2, 8, 8)
    assert got.masks[0, :4, :4].min() == 1
    assert got.masks[0].sum() == 16
    assert got.presence.shape == (6, 4, 4)
    assert torch.nonzero(got.presence).tolist() == [
        [0, 3, 3],
        *([4, y, x] for y in (0, 1) for x in (0, 1)),
    ]


def test_an_ignored_prior_keeps_its_mark_as_a_class() -> None:
    pixels = np.ones((1, 20, 20), np.bool_)
    priors = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.225, 0.5, 0.45, 1.0]])
    assert targets_of(Objects(pixels, np.array([2])), priors, 4, 6).classes.tolist() == [3, -2]
