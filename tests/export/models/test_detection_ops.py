"""Suppression against a loop over boxes; what the signatures promise."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detection_ops import (  # noqa: E402  after the skip
    batched_nms,
    nms,
    nms_mask,
    pyramid_roi_align,
    roi_align,
)
from segserve.export.models.roi_align import Pooling  # noqa: E402  same


def iou(a, b) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def greedy(boxes, scores, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if np.isfinite(scores[i]) and all(iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(int(i))
    return kept


def clustered(count: int, seed: int):
    generator = np.random.default_rng(seed)
    corner = generator.integers(0, 4, (count, 2)) * 20 + generator.uniform(0, 6, (count, 2))
    boxes = np.hstack([corner, corner + generator.uniform(10, 25, (count, 2))]).astype(np.float32)
    scores = np.round(generator.standard_normal(count), 1).astype(np.float32)  # with ties
    scores[generator.random(count) < 0.2] = -np.inf
    return boxes, scores


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [1, 7, 120])
def test_what_is_kept_is_what_greed_keeps(count: int, threshold: float) -> None:
    boxes, scores = clustered(count, seed=count)
    got = nms(torch.tensor(boxes), torch.tensor(scores), threshold)
    assert got.tolist() == greedy(boxes, scores, threshold)


def test_the_threshold_itself_does_not_suppress() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU 0.5
    scores = torch.tensor([-5.0, -6.0])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.49).tolist() == [0]


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]])
    assert nms(boxes, torch.tensor([3.0, 2.0, 1.0]), 0.3).tolist() == [0, 2]


def test_no_boxes_and_dropped_boxes() -> None:
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    assert nms(torch.rand(3, 4), torch.full((3,), float("-inf")), 0.5).tolist() == []
    assert batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), 0.5).tolist() == []


def test_groups_do_not_see_each_other() -> None:
    boxes, scores = clustered(60, seed=1)
    groups = np.arange(60) % 3
    got = batched_nms(*map(torch.tensor, (boxes, scores, groups)), 0.5)
    expected = [i for g in range(3) for i in np.flatnonzero(groups == g)[
        greedy(boxes[groups == g], scores[groups == g], 0.5)
    ]]  # fmt: skip
    assert sorted(got.tolist()) == sorted(expected)
    assert (np.diff(scores[got.numpy()]) <= 0).all()
    mask = nms_mask(
        torch.tensor(boxes).reshape(20, 3, 4).transpose(0, 1),
        torch.tensor(scores).reshape(20, 3).T,
        0.5,
    )
    assert sorted(mask.T.flatten().nonzero().flatten().tolist()) == sorted(expected)


def test_one_level_is_a_pyramid_of_one() -> None:
    features, rois = torch.rand(1, 2, 9, 9), torch.tensor([[0, 1.0, 2, 8, 7]])
    assert torch.equal(
        roi_align(features, rois, 3, 0.5, 2, True),
        pyramid_roi_align([features], rois, torch.tensor([0]), [0.5], Pooling(3, 2, True)),
    )


def test_torchscript_runs_the_plain_versions() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nms_mask)
    assert "segserve::" not in str(scripted.inlined_graph)
    boxes, scores = clustered(40, seed=2)
    tensors = torch.tensor(boxes)[None], torch.tensor(scores)[None]
    assert torch.equal(scripted(*tensors, 0.5), nms_mask(*tensors, 0.5))
