"""YOLACT's assembly against torch, written as upstream does it."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.prototypes import assemble_prototypes_to_rle, crop_limits


def by_torch(prototypes, coefficients, boxes, h: int, w: int, threshold: float = 0.5):
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    protos, rows = torch.from_numpy(prototypes), torch.from_numpy(coefficients)
    masks = torch.sigmoid(protos @ rows.t())
    size = torch.tensor([protos.shape[1], protos.shape[0]] * 2)
    scaled = torch.from_numpy(boxes) * size
    low = (torch.minimum(scaled[:, :2], scaled[:, 2:]) - 1).clamp(min=0)
    high = torch.minimum(torch.maximum(scaled[:, :2], scaled[:, 2:]) + 1, size[:2])
    x = torch.arange(protos.shape[1])[None, :, None]
    y = torch.arange(protos.shape[0])[:, None, None]
    inside = (x >= low[:, 0]) & (x < high[:, 0]) & (y >= low[:, 1]) & (y < high[:, 1])
    masks = (masks * inside).permute(2, 0, 1).contiguous()
    resized = torch.nn.functional.interpolate(masks[None], size=(h, w), mode="bilinear")
    return (resized[0] > threshold).numpy()


def scene(seed: int, count: int, h: int = 34, w: int = 38, depth: int = 8):
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(0, 2, (1, depth, 6, 6)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bicubic").clamp(min=0)
    prototypes = np.ascontiguousarray(fine[0].permute(1, 2, 0).numpy())
    boxes = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
    return prototypes, rng.uniform(-1, 1, (count, depth)).astype(np.float32), boxes


@pytest.mark.parametrize("size", [(90, 120), (375, 500), (20, 30), (34, 38), (40, 60), (31, 400)])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.0, 1.0])
def test_equals_torch(size, threshold: float) -> None:
    """Sums and exponentials may round otherwise than torch's: one pixel in a hundred thousand."""
    given = scene(0, 20)
    got = assemble_prototypes_to_rle(*given, *size, threshold)
    want = by_torch(*given, *size, threshold)
    differing = sum((rle.decode(a) != b).sum() for a, b in zip(got, want, strict=True))
    assert want.any() or threshold == 1
    assert differing <= want.size // 100_000


def test_corners_in_any_order_and_widened() -> None:
    boxes = np.array([[0.5, 0.75, 0.25, 0.25], [0, 0, 1, 1]], np.float32)
    assert crop_limits(boxes, 8, 20).tolist() == [[4, 1, 11, 7], [0, 0, 20, 8]]


def test_a_full_mask_fills_its_box() -> None:
    prototypes = np.ones((10, 10, 1), np.float32)
    boxes = np.array([[0.3, 0.4, 0.6, 0.8], [np.nan, 0, 1, 1]], np.float32)
    got = assemble_prototypes_to_rle(prototypes, np.full((2, 1), 20, np.float32), boxes, 10, 10)
    assert rle.to_bbox(got[0]) == (2, 3, 7, 9)
    assert rle.area(got[1]) == 0


@pytest.mark.parametrize(
    "box", [[5e17] * 4, [1e30, 1e30, 2e30, 2e30], [-1e30, 0, -1e29, 1], [0, 0, np.inf, np.inf]]
)
def test_a_box_far_outside_costs_its_own_mask_alone(box) -> None:
    random = np.random.default_rng(3)
    prototypes = random.normal(size=(20, 24, 4)).astype(np.float32)
    coefficients = random.normal(size=(2, 4)).astype(np.float32)
    boxes = np.array([box, [0.2, 0.2, 0.8, 0.8]], np.float32)
    far, near = assemble_prototypes_to_rle(prototypes, coefficients, boxes, 40, 50)
    assert rle.area(far) == 0
    assert (near,) == assemble_prototypes_to_rle(prototypes, coefficients[1:], boxes[1:], 40, 50)


def test_none_and_wrong_input() -> None:
    prototypes = np.ones((5, 5, 3), np.float32)
    none = np.zeros((0, 3), np.float32)
    assert assemble_prototypes_to_rle(prototypes, none, np.zeros((0, 4), np.float32), 9, 9) == ()
    with pytest.raises(InvalidInput, match=r"\[1, 2\]"):
        assemble_prototypes_to_rle(
            prototypes, np.zeros((1, 2), np.float32), np.zeros((1, 4), np.float32), 9, 9
        )
    for size, threshold in (((9, 0), 0.5), ((9, 9), -0.1)):
        with pytest.raises(InvalidInput, match="threshold from 0 on"):
            assemble_prototypes_to_rle(
                prototypes, none, np.zeros((0, 4), np.float32), *size, threshold
            )
