"""Snakes: the literature's curvature values, falling energy, exact dynamic programming."""

from itertools import pairwise, product

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.segmentation import Prompts
from segserve.ops.classical.snake import (
    SnakeOptions,
    curvature_energy,
    edge_field,
    settle,
    snake,
    snake_energy,
)

METHODS = ("greedy", "dynamic")


@pytest.mark.parametrize(("middle", "energy"), [((2, 5), 64), ((2, 2), 4)])
def test_curvature_of_three_points(middle, energy) -> None:
    assert curvature_energy(np.array([(1, 1), middle, (3, 1)]))[1] == energy


def test_energy_of_a_square() -> None:
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]])
    field = np.full((5, 5), -0.5, np.float32)
    options = SnakeOptions(tension=1, stiffness=0.25, edges=2, prior=3)
    prior = square + [[1, 0]] * 4
    # even sides: 0; |v - 2v + v|^2 is 32 at each corner; field 4 * -0.5 * 2; shape 4 * 1 * 3
    assert snake_energy(square, prior, field, options) == pytest.approx(0 + 32 - 4 + 12)


@pytest.mark.parametrize("method", METHODS)
def test_a_snake_finds_a_disc(disc, method) -> None:
    image, truth = disc
    box = Prompts(box=np.array([12, 8, 48, 43], np.float32))
    options = SnakeOptions(method=method, vertices=40, stiffness=0.02)
    found = snake(image, options, box)
    inside = found.labels > 0
    assert (inside & truth).sum() / (inside | truth).sum() > 0.85
    assert found.contour.shape == (40, 2)
    assert np.abs(np.hypot(*(found.contour - (30.5, 25.5)).T) - 12).max() < 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", [(0.2, 0.1, 300, 0), (2, 0, 50, 0.5), (0, 1, 0, 0)])
def test_energy_never_rises(disc, method, weights) -> None:
    tension, stiffness, edges, prior = weights
    options = SnakeOptions(
        method=method, tension=tension, stiffness=stiffness, edges=edges, prior=prior
    )
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    begin = np.rint(np.stack([25 + 20 * np.sin(angles), 30 + 24 * np.cos(angles)], axis=1))
    begin += np.random.default_rng(0).integers(-2, 3, begin.shape)
    energy = settle(edge_field(disc[0]), begin.astype(np.int64), options).energy
    assert len(energy) > 2
    assert energy[-1] < energy[0]
    assert all(b <= a + 1e-6 for a, b in pairwise(energy))


def test_one_dynamic_round_is_the_best_of_all_contours() -> None:
    """Every choice of 3 x 3 places of four vertices, at the mean side of the start."""
    random = np.random.default_rng(2)
    field = random.random((12, 12)).astype(np.float32)
    begin = np.array([[3, 3], [3, 8], [8, 8], [8, 3]])
    options = SnakeOptions(
        method="dynamic", tension=0.5, stiffness=0.05, edges=4, prior=0.1, iterations=1
    )
    found = settle(field, begin, options).contour
    steps = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])

    def energy(contours):
        sides = np.hypot(*np.moveaxis(np.roll(contours, -1, axis=1) - contours, 2, 0))
        bend = np.roll(contours, 1, axis=1) - 2 * contours + np.roll(contours, -1, axis=1)
        pull = field[contours[..., 0], contours[..., 1]].sum(axis=1)
        return (
            0.5 * ((5 - sides) ** 2).sum(axis=1)
            + 0.05 * (bend**2).sum(axis=(1, 2))
            + 4 * pull
            + 0.1 * ((contours - begin) ** 2).sum(axis=(1, 2))
        )

    every = np.array(list(product(range(9), repeat=4)))
    energies = energy(begin + steps[every])
    assert energy(found[None])[0] == pytest.approx(energies.min(), abs=1e-5)


def test_the_shape_prior_holds_a_contour(disc) -> None:
    field = edge_field(disc[0])
    begin = np.array([[5, 5], [5, 50], [45, 50], [45, 5]])
    loose = settle(field, begin, SnakeOptions(prior=0)).contour
    held = settle(field, begin, SnakeOptions(prior=1000)).contour
    assert np.array_equal(held, begin)
    assert not np.array_equal(loose, begin)


def test_a_contour_to_begin_with(disc) -> None:
    image, truth = disc
    rows, columns = np.nonzero(truth)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    found = snake(image, SnakeOptions(), Prompts(contour=corners))
    assert found.contour.shape == (60, 2)
    inside = found.labels == 1
    assert (inside & truth).sum() / (inside | truth).sum() > 0.9
    many = np.repeat(corners, 20, axis=0)
    assert snake(image, SnakeOptions(), Prompts(contour=many)).contour.shape == (80, 2)
    point = np.full((3, 2), 20, np.float32)
    assert snake(image, SnakeOptions(), Prompts(contour=point)).contour.shape == (60, 2)
    with pytest.raises(InvalidInput, match="3 to 10000 rows of 2"):
        snake(image, SnakeOptions(), Prompts(contour=corners[:2]))


@pytest.mark.parametrize("box", [[90, 90, 99, 99], [5, 5, 5, 9]])
def test_a_box_without_a_pixel_is_refused(disc, box) -> None:
    with pytest.raises(InvalidInput, match="holds no pixel"):
        snake(disc[0], SnakeOptions(), Prompts(box=np.array(box, np.float32)))


def test_a_huge_box_begins_at_the_border(disc) -> None:
    box = np.array([-3e38, -3e38, 3e38, 3e38], np.float32)
    found = snake(disc[0], SnakeOptions(iterations=1), Prompts(box=box))
    assert np.isfinite(found.contour).all()


def test_a_dynamic_round_is_stopped_half_way(disc) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        snake(disc[0], SnakeOptions(method="dynamic", iterations=1), stop=lambda: next(asked))


def test_constant_and_stop(disc) -> None:
    found = snake(np.full((5, 6, 3), 4, np.uint8), SnakeOptions())
    assert not found.labels.any()
    assert len(found.contour) == 60
    with pytest.raises(Cancelled):
        snake(disc[0], SnakeOptions(), stop=lambda: True)
