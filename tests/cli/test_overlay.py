"""Overlays colour what was found, and name it."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from segserve.cli.overlay import colour_of, draw_overlay
from segserve.client import EncodedMap, Region, Segment, SegmentResult, mask_to_rle
from segserve.core.errors import InvalidInput

MASK = np.zeros((40, 60), bool)
MASK[10:30, 20:50] = True


def semantic(mask=MASK, label="cat", label_id=3):
    height, width = mask.shape
    segment = Segment(label_id, label_id, label, int(mask.sum()), mask=mask_to_rle(mask))
    return SegmentResult("m", 1, "", "", 60, 40, segments=(segment,), map=EncodedMap(height, width))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in.png"
    Image.new("RGB", (60, 40), (0, 0, 0)).save(path)
    return path


def drawn(image, result, tmp_path):
    out = tmp_path / "out.png"
    draw_overlay(image, result, out)
    return np.asarray(Image.open(out).convert("RGB")).astype(int)


def test_inside_is_tinted_and_outside_is_not(image, tmp_path):
    pixels = drawn(image, semantic(), tmp_path)
    assert np.abs(pixels[20, 35] - np.array(colour_of(3)) // 2).max() <= 1
    assert pixels[5, 5].tolist() == [0, 0, 0]
    assert pixels[20, 49].tolist() == list(colour_of(3))


def test_the_legend_stands_on_the_right(image, tmp_path):
    pixels = drawn(image, semantic(), tmp_path)
    assert pixels.shape[1] > 60
    panel = pixels[:, 60:].reshape(-1, 3)
    assert (panel == colour_of(3)).all(axis=1).any()
    assert (panel == 255).all(axis=1).any()


def test_background_stays_as_it_is(image, tmp_path):
    pixels = drawn(image, semantic(label="background", label_id=0), tmp_path)
    assert pixels.shape == (40, 60, 3)
    assert pixels.max() == 0


def test_the_best_instance_is_on_top(image, tmp_path):
    rle = mask_to_rle(MASK)
    regions = tuple(Region((20, 10, 50, 30), score, 1, "cat", 600, rle) for score in (0.9, 0.5))
    pixels = drawn(image, SegmentResult("m", 1, "", "", 60, 40, regions=regions), tmp_path)
    assert np.abs(pixels[20, 35] - np.array(colour_of(1)) // 2).max() <= 1


def test_a_map_of_the_models_stride_is_stretched(image, tmp_path):
    small = np.zeros((4, 6), bool)
    small[1:3, 2:5] = True
    pixels = drawn(image, semantic(small), tmp_path)
    assert np.array_equal(pixels[:, :60].any(axis=2)[12:28, 22:48], np.ones((16, 26), bool))
    assert not pixels[:8, :18].any()


def test_the_cameras_orientation_is_honoured(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 60)).save(path, exif=exif)
    assert drawn(path, semantic(), tmp_path).shape[0] == 40


def test_nothing_found_gives_the_image(image, tmp_path):
    nothing = SegmentResult("m", 1, "", "", 60, 40, map=EncodedMap(40, 60))
    assert drawn(image, nothing, tmp_path).shape == (40, 60, 3)


def test_files_that_cannot_be_used(image, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="cannot draw on"):
        draw_overlay(broken, semantic(), tmp_path / "o.png")
    with pytest.raises(InvalidInput, match="cannot write"):
        draw_overlay(image, semantic(), tmp_path / "o.unknown")


def test_neighbouring_labels_differ():
    colours = [np.array(colour_of(n)) for n in range(1, 21)]
    assert len({tuple(colour) for colour in colours}) == 20
    assert all(np.abs(a - b).max() > 60 for a, b in pairwise(colours))


def test_without_pillow_the_reason_is_plain():
    code = (
        "import sys\nsys.modules['PIL'] = None\nfrom pathlib import Path\n"
        "from segserve.cli.overlay import draw_overlay\n"
        "from segserve.core.errors import Unsupported\n"
        "try:\n    draw_overlay(Path('a'), None, Path('b'))\n"
        "except Unsupported as error:\n    print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install pillow" in done.stdout
