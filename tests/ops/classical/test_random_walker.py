"""Random walker: probabilities against a dense solve, known regions."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.random_walker import (
    RandomWalkerOptions,
    probabilities,
    random_walker,
)
from segserve.ops.classical.segmentation import Prompts, never


def dense(planes, known, count, beta):
    """Solve the Dirichlet problem with a full matrix."""
    height, width = known.shape
    steps = {}
    for y in range(height):
        for x in range(width):
            for ny, nx in ((y, x + 1), (y + 1, x)):
                if ny < height and nx < width:
                    steps[y * width + x, ny * width + nx] = (
                        (planes[y, x] - planes[ny, nx]) ** 2
                    ).sum()
    top = max(steps.values())
    laplacian = np.zeros((height * width,) * 2)
    for (a, b), step in steps.items():
        weight = np.exp(-beta * step / top) + 1e-4
        laplacian[[a, b], [b, a]] -= weight
        laplacian[a, a] += weight
        laplacian[b, b] += weight
    flat = known.reshape(-1)
    free = flat < 0
    x = (flat[:, None] == np.arange(count)).astype(float)
    right = -laplacian[np.ix_(free, ~free)] @ x[~free]
    x[free] = np.linalg.solve(laplacian[np.ix_(free, free)], right)
    return x.T.reshape(count, height, width)


@pytest.mark.parametrize("size", [(7, 9), (50, 1), (49, 51)])
def test_probabilities_are_those_of_a_full_solve(size) -> None:
    random = np.random.default_rng(1)
    planes = random.integers(0, 50, (*size, 3)).astype(np.float32)
    known = np.full(size, -1, np.int32)
    known[0, 0], known[-1, -1], known[size[0] // 2, size[1] // 2] = 0, 1, 2
    options = RandomWalkerOptions(tolerance=1e-5, iterations=5000, beta=5)
    found = probabilities(planes, known, 3, options, stop=never)
    assert found == pytest.approx(dense(planes, known, 3, 5), abs=2e-3)
    assert found.sum(axis=0) == pytest.approx(np.ones(size), abs=5e-3)


def test_three_bars_from_three_seeds(three_levels) -> None:
    image, truth = three_levels
    seeds = Prompts(seeds=np.array([[5, 20, 3], [30, 20, 7], [55, 20, 9]], np.float32))
    labels = random_walker(image, RandomWalkerOptions(), seeds)
    assert (labels == truth).mean() > 0.98


def test_a_disc_without_prompts(disc) -> None:
    image, truth = disc
    found = random_walker(image, RandomWalkerOptions()) > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.9


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([[99, 0, 1]], "outside"), ([[0, 0, 0.5]], "whole"), ([[1, 1, k] for k in range(17)], "16")],
)
def test_wrong_seeds(disc, seeds, text) -> None:
    with pytest.raises(InvalidInput, match=text):
        random_walker(disc[0], RandomWalkerOptions(), Prompts(seeds=np.array(seeds, np.float32)))


def test_one_label_and_constant_and_stop(disc) -> None:
    one = Prompts(seeds=np.array([[3, 3, 5]], np.float32))
    assert not random_walker(disc[0], RandomWalkerOptions(), one).any()
    assert not random_walker(np.full((5, 6, 3), 4, np.uint8), RandomWalkerOptions()).any()
    with pytest.raises(Cancelled):
        random_walker(disc[0], RandomWalkerOptions(), stop=lambda: True)
