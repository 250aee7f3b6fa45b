"""Where an image lay in the network, and where its boxes are in the source."""

import numpy as np

from segserve.families.mask_rule import Frame
from segserve.families.shapes import Placement


def test_boxes_are_scaled_by_the_content_and_cut_at_the_border() -> None:
    frame = Frame((30, 80), Placement(network=(32, 64), content=(15, 40)))
    assert frame.scale_xyxy.tolist() == [2, 2, 2, 2]
    boxes = frame.source_boxes(np.array([[1, 2, 3, 4], [-5, -5, 60, 20]], np.float64))
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[2, 4, 6, 8], [0, 0, 80, 30]]


def test_sides_have_scales_of_their_own() -> None:
    frame = Frame((10, 90), Placement(network=(20, 30), content=(20, 30)))
    assert frame.scale_xyxy.tolist() == [3, 0.5, 3, 0.5]
