"""Outlines: inside is negative, the border is zero, distances are right where they are known."""

import numpy as np
import pytest

from segserve.scenes.shapes import OUTLINES


def at(name, x, y):
    return float(OUTLINES[name](np.array([float(x)]), np.array([float(y)]))[0])


@pytest.mark.parametrize("name", [n for n in OUTLINES if n != "ring"])
def test_the_centre_is_inside_and_far_away_is_outside(name):
    assert at(name, 0, 0) < 0
    assert at(name, 3, 0) > 1.5
    assert at(name, 0, -3) > 1.5


def test_known_distances():
    assert at("disc", 0, 0) == -1
    assert at("disc", 3, 4) == pytest.approx(4)
    assert at("ring", 0, 0) == pytest.approx(0.52)
    assert at("ring", 0.76, 0) == pytest.approx(-0.24)
    assert at("rectangle", 0, 0) == pytest.approx(-0.7)
    assert at("rectangle", 1.9, 0) == pytest.approx(1.0)
    assert at("cross", 0.9, 0.9) == pytest.approx(0.6)
    assert at("triangle", 0, -1) == pytest.approx(0, abs=1e-9)


def test_areas():
    y, x = np.mgrid[-1.2:1.2:400j, -1.2:1.2:400j]
    cell = (2.4 / 399) ** 2
    area = {name: float((outline(x, y) < 0).sum() * cell) for name, outline in OUTLINES.items()}
    assert area["disc"] == pytest.approx(np.pi, rel=0.01)
    assert area["rectangle"] == pytest.approx(1.8 * 1.4, rel=0.01)
    assert area["triangle"] == pytest.approx(3 * np.sqrt(3) / 4, rel=0.01)
    assert area["cross"] == pytest.approx(4 * 0.6 - 0.36, rel=0.01)
