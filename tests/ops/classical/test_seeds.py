"""Pixels around seeds: as by the definition, at the borders too."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.seeds import discs

SIZE = (7, 9)


@pytest.mark.parametrize("radius_px", [0, 1, 3, 20])
@pytest.mark.parametrize("place", [(0, 0), (8.9, 6.9), (4.2, 3.7), (8, 0), (0, 6)])
def test_they_are_the_pixels_near_it(place, radius_px) -> None:
    ((window, near),) = discs(np.array([[*place, 1]], np.float32), SIZE, radius_px)
    found = np.zeros(SIZE, bool)
    found[window][near] = True
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = (x - int(place[0])) ** 2 + (y - int(place[1])) ** 2
    assert np.array_equal(found, away <= radius_px**2)


@pytest.mark.parametrize("place", [(-0.1, 0), (9, 0), (0, 7), (1e30, 0)])
def test_seeds_outside_are_refused(place) -> None:
    with pytest.raises(InvalidInput, match="outside the image of 9 x 7"):
        list(discs(np.array([[*place, 1]], np.float32), SIZE, 2))


def test_many_can_be_stopped() -> None:
    asked = []

    def leave() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        list(discs(np.zeros((1000, 3), np.float32), SIZE, 2, stop=leave))
