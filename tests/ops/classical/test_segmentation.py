"""Checks and numbering that all segmenters share."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.segmentation import (
    Prompts,
    check_box,
    check_image,
    check_stop,
    consecutive,
    is_constant,
    never,
    whole_image_box,
)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 3), np.uint8),
        np.zeros((3, 3, 4), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((3, 3, 3), np.float32),
    ],
)
def test_what_is_no_image_is_refused(image) -> None:
    with pytest.raises(InvalidInput, match="uint8"):
        check_image(image)


def test_views_become_contiguous() -> None:
    view = np.zeros((4, 6, 3), np.uint8)[::2, ::-1]
    assert check_image(view).flags.c_contiguous


def test_stop() -> None:
    check_stop(never)
    with pytest.raises(Cancelled):
        check_stop(lambda: True)


def test_labels_become_consecutive_in_their_order() -> None:
    assert consecutive(np.array([[7, -2], [7, 3]])).tolist() == [[2, 0], [2, 1]]


def test_constant() -> None:
    image = np.full((3, 4, 3), 9, np.uint8)
    assert is_constant(image)
    image[2, 3, 1] = 8
    assert not is_constant(image)


def test_the_centred_box() -> None:
    assert whole_image_box(np.zeros((10, 20, 3)), 0.5).tolist() == [5, 2.5, 15, 7.5]
    assert whole_image_box(np.zeros((1, 1, 3)), 0.5).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("box", [np.nan, 0, 1, 1]),
        ("box", [0, 0, np.inf, 1]),
        ("box", [0, 0, 1]),
        ("box", [[0, 0, 1, 1]]),
        ("seeds", np.zeros((0, 3))),
        ("seeds", [[0, np.nan, 1]]),
        ("seeds", [[0, 0]]),
        ("seeds", [0, 0, 1]),
        ("seeds", np.zeros((10_001, 3))),
        ("contour", [[0, 0], [1, 1]]),
        ("contour", [[0, 0], [1, 1], [np.inf, 1]]),
        ("contour", np.zeros((10_001, 2))),
    ],
)
def test_prompts_that_are_none_are_refused(name, value) -> None:
    with pytest.raises(InvalidInput, match=f"prompt '{name}' must be"):
        Prompts(**{name: np.array(value, np.float32)})


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 0], [2, 2, 1, 3], [9, 0, 12, 5], [-5, -5, 0, 0], [0, 6, 9, 8]]
)
def test_boxes_without_a_pixel_are_refused(box) -> None:
    with pytest.raises(InvalidInput, match="no pixel of the image of 9 x 6"):
        check_box(np.array(box, np.float32), np.zeros((6, 9, 3), np.uint8))


def test_boxes_with_a_part_of_the_image() -> None:
    box = np.array([-5, -5, 0.5, 3e38], np.float32)
    assert check_box(box, np.zeros((6, 9, 3), np.uint8)) is box
