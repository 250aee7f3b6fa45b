"""Morphological Chan-Vese: known regions come back, scikit-image gives the same masks."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.classical.chan_vese import ChanVeseOptions, chan_vese, evolve
from segserve.ops.classical.segmentation import Prompts


def picture(height, width, seed):
    """A bright noisy ellipse on a darker ground, uint8 [H, W]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.4) ** 2) < 0.09
    return np.clip(random.normal(70 + 90 * inside, 30), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("start", ["checkerboard", "disk"])
def test_a_disc_comes_back(disc, start) -> None:
    image, mask = disc
    labels = chan_vese(image, ChanVeseOptions(start=start))
    assert labels.dtype == np.int32
    assert (labels == mask).mean() > 0.99


# an even number of smoothings in all: scikit-image's turns go on from one call to the next
@pytest.mark.parametrize("start", ["checkerboard", "disk"])
@pytest.mark.parametrize(
    ("shape", "rounds", "smoothing", "lambda1", "lambda2"),
    [
        ((2, 2), 4, 1, 1, 1),
        ((40, 63), 20, 1, 1, 1),
        ((41, 64), 20, 1, 1, 1),
        ((33, 65), 11, 2, 1, 1),
        ((64, 130), 30, 3, 1, 1.7),
        ((50, 129), 7, 0, 2, 1),
        ((20, 200), 60, 1, 0.5, 1),
        ((24, 30), 300, 1, 1, 1),
    ],
)
def test_scikit_image_gives_the_same_mask(shape, rounds, smoothing, lambda1, lambda2, start):
    morphsnakes = pytest.importorskip(
        "skimage.segmentation", reason="needs the dev extra: make test"
    )
    grey = picture(*shape, seed=shape[0])
    begin = {
        "checkerboard": morphsnakes.checkerboard_level_set,
        "disk": morphsnakes.disk_level_set,
    }[start](shape)
    theirs = morphsnakes.morphological_chan_vese(
        grey.astype(float), rounds, begin, smoothing, lambda1, lambda2
    )
    options = ChanVeseOptions(start, rounds, smoothing, lambda1, lambda2)
    assert np.array_equal(evolve(grey, begin > 0, options), theirs > 0)
    image = np.repeat(grey[..., None], 3, axis=2)
    labels = chan_vese(image, options)
    share = np.concatenate([theirs[0], theirs[-1], theirs[1:-1, 0], theirs[1:-1, -1]]).mean()
    expected = 1 - theirs if start == "checkerboard" and share > 0.5 else theirs
    assert np.array_equal(labels, expected * (not expected.all()))


@pytest.mark.parametrize("smoothing", [0, 1, 2])
def test_rounds_that_change_nothing_are_left_out(smoothing) -> None:
    grey = picture(40, 70, 1)
    begin = np.zeros(grey.shape, bool)
    begin[10:20, 20:40] = True
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    options = [ChanVeseOptions(iterations=n, smoothing=smoothing) for n in (300, 1998, 301, 1999)]
    even, even_later, odd, odd_later = (evolve(grey, begin, o, stop=count) for o in options)
    assert np.array_equal(even, even_later)
    assert np.array_equal(odd, odd_later)
    assert 0 < even.sum() < grey.size
    assert asked < 1200


def test_a_box_says_which_side_is_the_object(disc) -> None:
    image, mask = disc
    outside = Prompts(box=np.array([0, 0, 8, 50], np.float32))
    inside = Prompts(box=np.array([20, 25, 30, 35], np.float32))
    assert (chan_vese(image, ChanVeseOptions(), inside) == mask).mean() > 0.99
    assert (
        chan_vese(image, ChanVeseOptions(), outside) != mask
    ).mean() > 0.98  # corners are eroded


def test_smoothing_takes_specks_off() -> None:
    grey = picture(48, 64, 2)
    rough, even = (
        evolve(grey, grey > 115, ChanVeseOptions(iterations=40, smoothing=n)) for n in (0, 3)
    )

    def borders(mask):
        return np.count_nonzero(mask[1:] != mask[:-1])

    assert borders(even) < borders(rough) / 3


def test_lines_of_pixels_are_parted_too() -> None:
    dark_and_light = np.repeat([20, 220], 35).astype(np.uint8)
    for grey in (dark_and_light[None], dark_and_light[:, None]):
        begin = np.zeros(grey.shape, bool)
        begin.reshape(-1)[40:50] = True
        mask = evolve(grey, begin, ChanVeseOptions(smoothing=0))
        assert np.array_equal(mask, grey > 100)


def test_a_box_outside_and_options_out_of_bounds_are_refused(noise) -> None:
    with pytest.raises(InvalidInput, match="holds no pixel"):
        chan_vese(noise, ChanVeseOptions(), Prompts(box=np.array([60, 0, 70, 5], np.float32)))
    with pytest.raises(InvalidInput, match="smoothing"):
        chan_vese(noise, ChanVeseOptions(smoothing=11))
