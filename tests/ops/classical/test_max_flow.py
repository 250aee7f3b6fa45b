"""Minimum cuts: a hand-made grid, every cut of tiny ones, and SciPy's flow on larger ones."""

from itertools import product

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical import max_flow
from segserve.ops.classical.max_flow import NEIGHBOURS, minimum_cut


def cost(side, to_source, to_sink, links):
    """Add up the capacities that lead from the source's side to the sink's."""
    height, width = side.shape
    total = to_source[~side].sum() + to_sink[side].sum()
    for d, (dy, dx) in enumerate(NEIGHBOURS):
        for y in range(height):
            for x in range(width):
                ny, nx = y + dy, x + dx
                if 0 <= ny < height and 0 <= nx < width and side[y, x] and not side[ny, nx]:
                    total += links[d, y, x]
    return total


def problem(seed, height, width):
    random = np.random.default_rng(seed)
    terminals = random.integers(0, 20, (2, height, width)).astype(float)
    return terminals[0], terminals[1], random.integers(0, 12, (8, height, width)).astype(float)


def test_a_row_is_cut_at_its_weakest_link() -> None:
    links = np.zeros((8, 1, 4))
    links[4, 0] = [9, 2, 9, 9]
    to_source, to_sink = np.array([[50, 0, 0, 0]]), np.array([[0, 0, 0, 50]])
    cut = minimum_cut(to_source, to_sink, links)
    assert cut.source_side.tolist() == [[True, True, False, False]]
    assert cut.value == 2


@pytest.mark.parametrize("seed", range(6))
def test_no_cut_of_a_tiny_grid_is_cheaper(seed) -> None:
    given = problem(seed, 3, 3)
    cut = minimum_cut(*given)
    every = [cost(np.array(bits, bool).reshape(3, 3), *given) for bits in product([0, 1], repeat=9)]
    assert cut.value == min(every)
    assert cost(cut.source_side, *given) == cut.value


@pytest.mark.parametrize(
    ("seed", "size"), [(1, (9, 13)), (2, (20, 17)), (3, (1, 30)), (4, (30, 40))]
)
def test_as_much_flow_as_scipy_finds(seed, size) -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="needs the dev extra: make test")
    csgraph = pytest.importorskip("scipy.sparse.csgraph", reason="needs the dev extra: make test")
    height, width = size
    to_source, to_sink, links = problem(seed, height, width)
    links *= np.random.default_rng(seed).random(links.shape) < 0.6
    nodes = height * width
    capacities = sparse.lil_array((nodes + 2, nodes + 2), dtype=np.int32)
    for y in range(height):
        for x in range(width):
            node = y * width + x
            capacities[nodes, node] = to_source[y, x]
            capacities[node, nodes + 1] = to_sink[y, x]
            for d, (dy, dx) in enumerate(NEIGHBOURS):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    capacities[node, (y + dy) * width + x + dx] = links[d, y, x]
    want = csgraph.maximum_flow(capacities.tocsr(), nodes, nodes + 1).flow_value
    cut = minimum_cut(to_source, to_sink, links)
    assert cut.value == want
    assert cost(cut.source_side, to_source, to_sink, links) == want


def test_wrong_capacities_are_refused() -> None:
    ones = np.ones((2, 3))
    with pytest.raises(InvalidInput, match=r"\[8, H, W\]"):
        minimum_cut(ones, ones, np.ones((4, 2, 3)))
    with pytest.raises(InvalidInput, match="one size"):
        minimum_cut(ones, ones, np.ones((8, 3, 3)))
    with pytest.raises(InvalidInput, match="negative"):
        minimum_cut(ones, -ones, np.ones((8, 2, 3)))


def test_a_flow_that_stops_and_goes_on_is_the_same(monkeypatch) -> None:
    given = problem(5, 30, 40)
    at_once = minimum_cut(*given)
    asked = []
    monkeypatch.setattr(max_flow, "_PATHS_AT_A_TIME", 7)
    cut = minimum_cut(*given, stop=lambda: bool(asked.append(1)))
    assert len(asked) > 20
    assert cut.value == pytest.approx(at_once.value, rel=1e-12)
    assert np.array_equal(cut.source_side, at_once.source_side)


def test_a_flow_is_stopped_half_way(monkeypatch) -> None:
    monkeypatch.setattr(max_flow, "_PATHS_AT_A_TIME", 7)
    asked = iter([False] * 5 + [True])
    with pytest.raises(Cancelled):
        minimum_cut(*problem(5, 30, 40), stop=lambda: next(asked))
