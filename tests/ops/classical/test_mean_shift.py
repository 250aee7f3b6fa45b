"""Mean shift: modes by a plain loop, known regions."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.features import luv
from segserve.ops.classical.mean_shift import MeanShiftOptions, find_modes, mean_shift


def plain_mode(planes, y, x, options):
    """Shift one window as the paper says it, in double precision."""
    _, height, width = planes.shape
    place, colour = np.array([y, x], float), planes[:, y, x].astype(float)
    reach = options.spatial_px
    for _ in range(options.iterations):
        cy, cx = (place + 0.5).astype(int)
        rows = slice(max(0, cy - reach), min(height, cy + reach + 1))
        columns = slice(max(0, cx - reach), min(width, cx + reach + 1))
        inside = ((planes[:, rows, columns] - colour[:, None, None]) ** 2).sum(
            axis=0
        ) <= options.colour**2
        ys, xs = np.mgrid[rows, columns]
        new_place = np.array([ys[inside].mean(), xs[inside].mean()])
        new_colour = planes[:, rows, columns][:, inside].mean(axis=1)
        moved = np.abs(new_place - place).sum() + ((new_colour - colour) ** 2).sum()
        place, colour = new_place, new_colour
        if moved < 1:
            break
    return np.concatenate([colour, place])


def test_modes_are_those_of_a_plain_loop(three_levels) -> None:
    image, _ = three_levels
    options = MeanShiftOptions(spatial_px=4, colour=20)
    modes = find_modes(image, options)
    planes = luv(image)
    close = [
        np.allclose(modes[y, x], plain_mode(planes, y, x, options), atol=0.05)
        for y in range(0, 45, 4)
        for x in range(0, 60, 3)
    ]
    assert np.mean(close) > 0.98  # a pixel at the very edge of a window may fall either way


def test_three_bars_are_three_regions(three_levels) -> None:
    image, truth = three_levels
    labels = mean_shift(image, MeanShiftOptions(colour=20, min_size_px=50))
    assert labels.max() == 2
    assert (labels == truth).mean() > 0.99


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 7, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not mean_shift(np.full(shape, 9, np.uint8), MeanShiftOptions()).any()


def test_stop_is_asked_within_the_image(noise) -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        mean_shift(noise, MeanShiftOptions(), stop=stop)
    assert len(asked) == 3


def test_wide_windows_are_stopped_after_a_row() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 200, 3), np.uint8)
    asked = []
    options = MeanShiftOptions(spatial_px=50, colour=0.5, iterations=50)
    find_modes(image, options, stop=lambda: bool(asked.append(1)))
    assert len(asked) == 6
