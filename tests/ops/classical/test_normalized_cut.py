"""Normalised cuts: the best of all cuts on small graphs, and a known picture."""

from itertools import product

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.normalized_cut import (
    NormalizedCutOptions,
    best_cut,
    cut_graph,
    normalized_cut,
    normalized_cut_cost,
)


def two_groups(strong=1.0, weak=0.02):
    weights = np.full((8, 8), weak)
    weights[:3, :3] = weights[3:, 3:] = strong
    return weights


def test_the_cost_is_that_of_the_definition_and_the_best_there_is() -> None:
    random = np.random.default_rng(0).random((8, 8)) * 0.1
    weights = two_groups() + random + random.T
    cost, side = best_cut(weights)
    chosen = np.isin(np.arange(8), side)
    assert cost == pytest.approx(normalized_cut_cost(weights, chosen))
    every = [np.array(bits, bool) for bits in product([0, 1], repeat=8) if 0 < sum(bits) < 8]
    assert cost == pytest.approx(min(normalized_cut_cost(weights, one) for one in every))
    assert sorted(side) in ([0, 1, 2], [3, 4, 5, 6, 7])


def test_splitting_goes_on_until_there_are_enough_parts_or_no_good_cut() -> None:
    weights = np.kron(np.eye(3), np.ones((4, 4))) + 0.01
    labels = cut_graph(weights, 3, 2.0)
    assert [len(set(labels[k : k + 4])) for k in (0, 4, 8)] == [1, 1, 1]
    assert labels.max() == 2
    assert cut_graph(weights, 9, 0.3).max() == 2
    assert not cut_graph(weights, 1, 2.0).any()
    assert not cut_graph(np.ones((1, 1)), 5, 2.0).any()


def test_three_bars(three_levels) -> None:
    image, truth = three_levels
    labels = normalized_cut(image, NormalizedCutOptions(segments=3, superpixels=80, max_cut=2))
    purity = sum(np.bincount(truth[labels == k]).max() for k in range(3))
    assert labels.max() == 2
    assert purity / truth.size > 0.98


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 7, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not normalized_cut(np.full(shape, 9, np.uint8), NormalizedCutOptions()).any()


def test_stop_is_asked(noise) -> None:
    with pytest.raises(Cancelled):
        normalized_cut(noise, NormalizedCutOptions(), stop=lambda: True)
