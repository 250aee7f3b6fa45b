"""RoIAlign against a loop over every sample."""

import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.roi_align import (  # noqa: E402  after the skip
    Pooling,
    pyramid_roi_align_plain,
    roi_align_plain,
)


def one_sample(feature, y: float, x: float):
    """Bilinear; nothing beyond one pixel outside, the border's pixel nearer than that."""
    height, width = feature.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(feature))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = feature[:, top, left] * (1 - across) + feature[:, top, right] * across
    lower = feature[:, bottom, left] * (1 - across) + feature[:, bottom, right] * across
    return upper * (1 - down) + lower * down


def by_samples(feature, box, bins, scale, ratio, *, aligned):
    """Pool one box the slow way."""
    x1, y1, x2, y2 = np.asarray(box, np.float64) * scale - (0.5 if aligned else 0)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1), max(height, 1)
    across = ratio or math.ceil(width / bins)
    down = ratio or math.ceil(height / bins)
    cells = np.zeros((len(feature), bins, bins))
    for row, column in np.ndindex(bins, bins):
        samples = [
            one_sample(
                feature,
                y1 + (row + (i + 0.5) / down) * height / bins,
                x1 + (column + (j + 0.5) / across) * width / bins,
            )
            for i in range(down)
            for j in range(across)
        ]
        if samples:
            cells[:, row, column] = np.mean(samples, axis=0)
    return cells


BOXES = [
    [3.0, 2.0, 20.0, 9.0],
    [-6.0, -3.0, 8.0, 31.0],
    [10.0, 10.0, 10.2, 10.1],
    [5.0, 5.0, 5.0, 5.0],
    [22.0, 12.0, 47.0, 29.0],
]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_every_sample(ratio: int, aligned: bool) -> None:
    features = np.random.default_rng(0).standard_normal((2, 3, 12, 15))
    rois = [[i % 2, *box] for i, box in enumerate(BOXES)]
    got = roi_align_plain(torch.tensor(features), torch.tensor(rois), 3, 0.5, ratio, aligned)
    for row, (image, *box) in zip(got.numpy(), rois, strict=True):
        expected = by_samples(features[image], box, 3, 0.5, ratio, aligned=aligned)
        np.testing.assert_allclose(row, expected, atol=2e-5)


def test_an_empty_aligned_box_has_no_samples_of_its_own_choice() -> None:
    pooled = roi_align_plain(
        torch.ones(1, 1, 8, 8), torch.tensor([[0, 3.0, 3, 3, 3]]), 2, 1.0, 0, True
    )
    assert not pooled.any()


def test_levels_and_order_of_rows() -> None:
    pyramid = [torch.full((1, 1, 16, 16), 1.0), torch.full((1, 1, 8, 8), 2.0)]
    rois = torch.tensor([[0, 2.0, 2, 9, 9]] * 4)
    levels = torch.tensor([1, 0, 0, 1])
    pooled = pyramid_roi_align_plain(pyramid, rois, levels, [1.0, 0.5], Pooling(2, 2, False))
    assert pooled[:, 0, 0, 0].tolist() == [2, 1, 1, 2]


def test_no_boxes() -> None:
    assert roi_align_plain(torch.ones(1, 4, 8, 8), torch.zeros(0, 5), 7, 1.0, 0, True).shape == (
        0, 4, 7, 7,
    )  # fmt: skip


def test_many_boxes_go_in_chunks() -> None:
    features, rois = torch.rand(1, 256, 9, 9), torch.tensor([[0, 1.0, 1, 8, 8]]).repeat(400, 1)
    pooled = roi_align_plain(features, rois, 7, 1.0, 2, False)
    assert torch.equal(pooled[0], pooled[399])
    assert pooled[399].any()


def test_it_compiles_for_torchscript() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(pyramid_roi_align_plain)
    pyramid = [torch.rand(1, 2, 16, 16), torch.rand(1, 2, 8, 8)]
    arguments = (
        torch.tensor([[0, 2.0, 2, 9, 12]] * 2),
        torch.tensor([1, 0]),
        [1.0, 0.5],
        Pooling(3, 0, True),
    )
    assert torch.equal(scripted(pyramid, *arguments), pyramid_roi_align_plain(pyramid, *arguments))
