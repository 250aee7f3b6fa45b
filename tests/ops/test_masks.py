"""Pasting against torch's grid_sample, and boxes that hold nothing."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.masks import (
    areas,
    expand_boxes,
    paste_boxes_to_rle,
    paste_expanded_boxes_to_rle,
    tight_boxes,
)


def scene(seed: int, count: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Noise, noise in blocks and plain masks, in boxes of any place and size."""
    rng = np.random.default_rng(seed)
    masks = np.kron(rng.random((count, 7, 7)), np.ones((1, 4, 4))).astype(np.float32)
    masks[::3] = rng.random((len(masks[::3]), 28, 28))
    masks[::4] = np.round(masks[::4])
    corners = rng.uniform(-20, 100, (count, 2))
    sides = rng.uniform(0.01, reach, (count, 2))
    return masks, np.concatenate([corners, corners + sides], 1).astype(np.float32)


def by_torch(mask: np.ndarray, box: np.ndarray, h: int, w: int, threshold: float) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    x1, y1, x2, y2 = (torch.tensor(v) for v in box.astype(np.float32))
    ys = (torch.arange(h) + 0.5 - y1) / (y2 - y1) * 2 - 1
    xs = (torch.arange(w) + 0.5 - x1) / (x2 - x1) * 2 - 1
    grid = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1)[None]
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(mask)[None, None], grid, align_corners=False
    )[0, 0].numpy()
    near = np.zeros((h, w), bool)  # as detectron2: pixels within one pixel of the box alone
    x_from, y_from = (max(int(np.floor(v)) - 1, 0) for v in box[:2])
    x_to, y_to = (max(int(np.ceil(v)) + 1, 0) for v in box[2:])
    near[y_from:y_to, x_from:x_to] = True
    return (sampled >= threshold) & near


def test_equals_grid_sample() -> None:
    masks, boxes = scene(0, 24, 90)
    for threshold in (0.5, 0.3, 0.0, 1.0):
        got = paste_boxes_to_rle(masks, boxes, 90, 120, threshold)
        for mask, box, one in zip(masks, boxes, got, strict=True):
            want = by_torch(mask, box, 90, 120, threshold)
            np.testing.assert_array_equal(rle.decode(one), want)


def by_torchvision(masks: np.ndarray, boxes: np.ndarray, h: int, w: int) -> np.ndarray:
    """`paste_masks_in_image`, then the threshold, each mask alone."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    padded = torch.nn.functional.pad(torch.from_numpy(masks)[:, None], (1, 1, 1, 1))
    scale = padded.shape[-1] / masks.shape[-1]
    corners = torch.from_numpy(boxes)
    half = (corners[:, 2:] - corners[:, :2]) * 0.5
    centre = (corners[:, 2:] + corners[:, :2]) * 0.5
    half *= scale
    canvas = torch.zeros((len(masks), h, w))
    for one, mask, low, high in zip(canvas, padded, centre - half, centre + half, strict=True):
        (x1, y1), (x2, y2) = low.to(torch.int64).tolist(), high.to(torch.int64).tolist()
        size = (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
        resized = torch.nn.functional.interpolate(mask[None], size=size, mode="bilinear")[0, 0]
        left, right, top, bottom = max(x1, 0), min(x2 + 1, w), max(y1, 0), min(y2 + 1, h)
        if left < right and top < bottom:
            part = resized[top - y1 : bottom - y1, left - x1 : right - x1]
            one[top:bottom, left:right] = part
    return (canvas > 0.5).numpy()


@pytest.mark.parametrize("reach", [20, 90, 200])
def test_expanded_boxes_equal_torchvision(reach: int) -> None:
    masks, boxes = scene(reach, 60, reach)
    got = paste_expanded_boxes_to_rle(masks, boxes, 90, 120)
    want = by_torchvision(masks, boxes, 90, 120)
    np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)


def test_boxes_grow_and_are_cut_towards_zero() -> None:
    boxes = np.array([[-2.9, 4, 3.1, 10]], np.float32)
    assert expand_boxes(boxes, 1.0).tolist() == [[-2, 4, 3, 10]]
    assert expand_boxes(boxes, 2.0).tolist() == [[-5, 1, 6, 13]]


def test_tight_boxes() -> None:
    mask = np.zeros((9, 7), np.uint8)
    mask[2:5, 3:7] = 1
    got = tight_boxes((rle.encode(mask), rle.encode(mask * 0)))
    assert got.dtype == np.float32
    assert got.tolist() == [[3, 2, 7, 5], [0, 0, 0, 0]]
    assert tight_boxes(()).shape == (0, 4)


def test_full_mask_fills_its_box() -> None:
    (one,) = paste_boxes_to_rle(
        np.ones((1, 28, 28), np.float32), np.array([[2, 3, 8, 7]], np.float32), 10, 12
    )
    assert rle.to_bbox(one) == (2, 3, 8, 7)
    assert areas((one, one)).tolist() == [24, 24]


@pytest.mark.parametrize(
    "box",
    [
        [5, 5, 5, 9],
        [8, 8, 2, 2],
        [50, 50, 60, 60],
        [-9, -9, -5, -5],
        [np.nan, 0, 5, 5],
        [0, 0, np.inf, 5],
    ],
)
def test_boxes_that_hold_nothing(box) -> None:
    (one,) = paste_boxes_to_rle(np.ones((1, 4, 4), np.float32), np.array([box], np.float32), 10, 12)
    assert rle.area(one) == 0


@pytest.mark.parametrize("box", [[50, 50, 60, 60], [-9, -9, -5, -5], [np.nan, 0, 5, 5]])
def test_expanded_boxes_that_hold_nothing(box) -> None:
    (one,) = paste_expanded_boxes_to_rle(
        np.ones((1, 4, 4), np.float32), np.array([box], np.float32), 10, 12
    )
    assert rle.area(one) == 0


def test_none_and_wrong_input() -> None:
    assert paste_boxes_to_rle(np.zeros((0, 28, 28)), np.zeros((0, 4)), 5, 5) == ()
    assert areas(()).shape == (0,)
    with pytest.raises(InvalidInput, match=r"\[2, 4\]"):
        paste_boxes_to_rle(np.zeros((1, 28, 28)), np.zeros((2, 4)), 5, 5)


def test_what_is_not_finite_is_treated_as_torch_does() -> None:
    masks, boxes = scene(3, 6, 90)
    masks[0, 9, 9], masks[1, 9, 9], masks[2, 3, 3] = np.nan, np.inf, -np.inf
    got = paste_boxes_to_rle(masks, boxes, 90, 120)
    for mask, box, one in zip(masks, boxes, got, strict=True):
        np.testing.assert_array_equal(rle.decode(one), by_torch(mask, box, 90, 120, 0.5))
    got = paste_expanded_boxes_to_rle(masks, boxes, 90, 120)
    want = by_torchvision(masks, boxes, 90, 120)
    np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)
