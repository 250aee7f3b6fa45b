"""Masks as pycocotools reads them, pixel for pixel."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.evaluation.coco_masks import fill_polygon, read_segmentation
from segserve.ops.rle import decode

coco = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")
# pycocotools reads polygons in a way that newer numpy warns of.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def official(polygons, height, width):
    return coco.decode(coco.merge(coco.frPyObjects(polygons, height, width))).astype(bool)


def random_polygon(rng, height, width, points):
    reach = np.array([width, height])
    scale = rng.choice([0.2, 1.0, 1.3])  # some leave the image
    corners = rng.random((points, 2)) * reach * scale - 0.1 * reach
    return np.round(corners, int(rng.integers(0, 3))).ravel()


@pytest.mark.parametrize("seed", range(60))
def test_polygons(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(5, 90, 2))
    polygon = random_polygon(rng, height, width, int(rng.integers(3, 12)))
    got = fill_polygon(polygon, height, width)
    assert np.array_equal(got, official([polygon.tolist()], height, width))


def test_a_square_by_hand():
    mask = fill_polygon(np.array([1.0, 1, 4, 1, 4, 3, 1, 3]), 5, 6)
    expected = np.zeros((5, 6), bool)
    expected[1:3, 1:4] = True
    assert np.array_equal(mask, expected)


def test_points_given_twice_change_nothing():
    polygon = np.array([1.5, 1, 4, 1.2, 4, 1.2, 4.3, 3, 1, 3.7, 1, 3.7])
    assert np.array_equal(fill_polygon(polygon, 7, 8), official([polygon.tolist()], 7, 8))


def test_several_polygons_are_one_mask():
    rng = np.random.default_rng(1)
    polygons = [random_polygon(rng, 40, 50, 5).tolist() for _ in range(3)]
    assert np.array_equal(
        decode(read_segmentation(polygons, 40, 50)), official(polygons, 40, 50).astype(np.uint8)
    )


def test_counts_plain_and_compressed():
    mask = np.random.default_rng(0).random((11, 7)) > 0.6
    mask[0, 0] = True
    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    plain = [0, *np.diff([0, *edges, flat.size]).tolist()]
    for counts in (compressed["counts"], compressed["counts"].decode(), plain):
        read = read_segmentation({"size": [11, 7], "counts": counts}, 11, 7)
        assert np.array_equal(decode(read), mask)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (7, "is a int, expected polygons or an RLE"),
        ({"counts": [1, 2]}, "sum to 20"),
        ([[1, 2, 3, 4]], "at least 3 points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least 3 points"),
    ],
)
def test_what_is_none_of_these(segmentation, said):
    with pytest.raises(InvalidInput, match=said):
        read_segmentation(segmentation, 4, 5)
