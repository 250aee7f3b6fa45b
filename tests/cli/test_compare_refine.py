"""Before, after and the difference, side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segserve.cli.compare_refine import draw_comparison
from segserve.client import EncodedMap, Segment, SegmentResult, mask_to_rle
from segserve.core.errors import InvalidInput


def result(columns: int, *, refined: bool | None, size: tuple[int, int] = (20, 30)):
    mask = np.zeros(size, bool)
    mask[:, :columns] = True
    segment = Segment(3, 3, "cat", int(mask.sum()), mask=mask_to_rle(mask))
    found = SegmentResult("m", 1, "", "", 30, 20, segments=(segment,), map=EncodedMap(*size))
    return replace(found, refined=refined)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in.png"
    Image.new("RGB", (30, 20), (90, 90, 90)).save(path)
    return path


def test_the_difference_is_white_and_counted(image, tmp_path):
    out = tmp_path / "new" / "out.png"
    share = draw_comparison(image, result(12, refined=None), result(15, refined=True), out)
    assert share == pytest.approx(3 / 30)
    pixels = np.asarray(Image.open(out))
    width = (pixels.shape[1] - 8) // 3
    assert (pixels.shape[0], width) == (20, 30)
    before, after, difference = (pixels[:, i * 34 : i * 34 + 30] for i in range(3))
    assert not np.array_equal(before, after)
    white = (difference == 255).all(axis=2)
    assert white[:, 12:15].all()
    assert white.sum() == 3 * 20


def test_an_answer_that_stayed_unrefined_is_not_compared(image, tmp_path):
    with pytest.raises(InvalidInput, match="crf_max_ms"):
        draw_comparison(
            image, result(12, refined=None), result(12, refined=False), tmp_path / "out.png"
        )


def test_maps_of_another_size_are_refused(image, tmp_path):
    small = result(2, refined=True, size=(5, 8))
    with pytest.raises(InvalidInput, match="leave out --output-size"):
        draw_comparison(image, small, small, tmp_path / "out.png")
