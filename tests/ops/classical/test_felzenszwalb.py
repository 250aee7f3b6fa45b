"""Graph-based merging: known regions, scale, least size, and a plain oracle."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.felzenszwalb import FelzenszwalbOptions, felzenszwalb


def test_three_bars_are_three_regions(three_levels) -> None:
    image, truth = three_levels
    labels = felzenszwalb(image, FelzenszwalbOptions(scale=500, min_size_px=100))
    assert labels.max() == 2
    assert (labels == truth).mean() > 0.97


def plain(image, scale, min_size):
    """Merge as the paper says it, with Python's own sort; distances rounded as documented."""
    height, width = image.shape[:2]
    flat = image.reshape(-1, 3).astype(float)
    edges = []
    for index, (dy, dx) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        for y in range(height):
            for x in range(width):
                if y + dy < height and 0 <= x + dx < width:
                    a, b = y * width + x, (y + dy) * width + x + dx
                    distance = np.float32(np.sqrt(((flat[a] - flat[b]) ** 2).sum()))
                    edges.append((int(distance * np.float32(148)), index, a, b))
    edges.sort()
    parent = list(range(height * width))
    size, limit = [1] * len(parent), [scale] * len(parent)

    def root(node):
        while parent[node] != node:
            node = parent[node]
        return node

    for step in ("limits", "sizes"):
        for weight, _, one, other in edges:
            a, b = root(one), root(other)
            small = min(size[a], size[b]) < min_size
            fits = weight / 148 <= min(limit[a], limit[b])
            if a != b and (fits if step == "limits" else small):
                a, b = (a, b) if size[a] >= size[b] else (b, a)
                parent[b] = a
                size[a] += size[b]
                limit[a] = weight / 148 + scale / size[a]
    roots = [root(node) for node in range(len(parent))]
    names = {r: n for n, r in enumerate(dict.fromkeys(roots))}
    return np.array([names[r] for r in roots]).reshape(height, width)


@pytest.mark.parametrize(("scale", "min_size"), [(200.0, 1), (800.0, 5), (0.0, 1)])
def test_as_the_paper_says_it(scale, min_size) -> None:
    image = np.random.default_rng(4).integers(0, 4, (14, 17, 3), dtype=np.uint8) * 60
    options = FelzenszwalbOptions(scale=scale, sigma_px=0, min_size_px=min_size)
    assert np.array_equal(felzenszwalb(image, options), plain(image, scale, min_size))


def test_no_region_is_below_the_least_size(noise) -> None:
    labels = felzenszwalb(noise, FelzenszwalbOptions(scale=10, min_size_px=30))
    assert np.bincount(labels.reshape(-1)).min() >= 30


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2, 3), (5, 4, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not felzenszwalb(np.full(shape, 3, np.uint8), FelzenszwalbOptions()).any()


def test_stop_is_asked(noise) -> None:
    with pytest.raises(Cancelled):
        felzenszwalb(noise, FelzenszwalbOptions(), stop=lambda: True)
