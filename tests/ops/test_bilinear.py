"""Bilinear interpolation, bit for bit as torch."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.bilinear import count_of_lanes, resize, torch_axis

SIZES = [
    (28, 28, 90, 120),
    (30, 30, 64, 64),
    (30, 30, 65, 64),
    (30, 30, 9, 11),
    (1, 1, 5, 5),
    (20, 33, 20, 33),
    (40, 30, 100, 1),
    (130, 140, 90, 77),
]


@pytest.mark.parametrize(("h", "w", "height", "width"), SIZES)
@pytest.mark.parametrize("planes", [1, 9])
def test_equals_torch(h: int, w: int, height: int, width: int, planes: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    given = np.random.default_rng(0).random((planes, h, w), dtype=np.float32)
    want = torch.nn.functional.interpolate(
        torch.from_numpy(given)[None], size=(height, width), mode="bilinear"
    )[0].numpy()
    np.testing.assert_array_equal(resize(given, height, width), want)


def test_known_answer() -> None:
    got = resize(np.array([[[0, 4]]], np.float32), 1, 4)
    assert got.tolist() == [[[0, 1, 3, 4]]]


def test_axis_is_clamped_at_both_ends() -> None:
    axis = torch_axis(2, 4)
    assert axis.low.tolist() == [0, 0, 0, 1]
    assert axis.high.tolist() == [1, 1, 1, 1]
    assert axis.weight.tolist() == [0, 0.25, 0.75, 0.25]


def test_small_outputs_are_summed_otherwise() -> None:
    assert count_of_lanes(9, 64, 64) == 8
    assert count_of_lanes(9, 64, 65) == -1


@pytest.mark.parametrize(
    ("shape", "size"), [((3, 3), (2, 2)), ((1, 0, 3), (2, 2)), ((1, 3, 3), (0, 2))]
)
def test_wrong_input(shape, size) -> None:
    with pytest.raises(InvalidInput, match="at least 1x1"):
        resize(np.zeros(shape, np.float32), *size)
