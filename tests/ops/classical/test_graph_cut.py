"""Graph cut: a disc is found from a box and from seeds; energy falls."""

import itertools

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.gmm import GmmOptions, fit
from segserve.ops.classical.graph_cut import (
    GraphCutOptions,
    contrast_links,
    extract,
    graph_cut,
    log_density,
)
from segserve.ops.classical.max_flow import NEIGHBOURS
from segserve.ops.classical.segmentation import Prompts


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def test_a_disc_in_a_box(disc) -> None:
    image, truth = disc
    box = Prompts(box=np.array([14, 9, 46, 41], np.float32))
    assert overlap(graph_cut(image, GraphCutOptions(), box) > 0, truth) > 0.97
    assert overlap(graph_cut(image, GraphCutOptions()) > 0, truth) > 0.97


def test_a_disc_from_two_clicks(disc) -> None:
    image, truth = disc
    seeds = Prompts(seeds=np.array([[30, 25, 1], [5, 5, 0]], np.float32))
    assert overlap(graph_cut(image, GraphCutOptions(), seeds) > 0, truth) > 0.97


@pytest.mark.parametrize("box", [[10, 10, 11, 11], [10.2, 10.2, 10.4, 10.4], [0, 0, 1, 1]])
def test_a_box_of_one_pixel_is_no_error(disc, box) -> None:
    found = graph_cut(disc[0], GraphCutOptions(), Prompts(box=np.array(box, np.float32)))
    assert found.sum() <= 1


def test_clicks_outside_are_refused(disc) -> None:
    seeds = np.array([[-5, -5, 1], [5, 5, 0]], np.float32)
    with pytest.raises(InvalidInput, match="outside"):
        graph_cut(disc[0], GraphCutOptions(), Prompts(seeds=seeds))


def test_clicks_are_obeyed(disc) -> None:
    image, _ = disc
    box = np.array([14, 9, 46, 41], np.float32)
    seeds = Prompts(box=box, seeds=np.array([[30, 25, 0]], np.float32))
    labels = graph_cut(image, GraphCutOptions(seed_radius_px=2), seeds)
    assert not labels[23:28, 30].any()


def test_energy_never_rises(disc) -> None:
    image, _ = disc
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 60, image.shape), 0, 255)
    energy = extract(noisy.astype(np.uint8), GraphCutOptions(iterations=8)).energy
    assert len(energy) > 1
    # mixtures are fitted anew by a few rounds of EM, so by a little it may
    assert all(b <= a * 1.001 for a, b in itertools.pairwise(energy))


def test_links_are_symmetric_and_end_at_the_border(noise) -> None:
    links = contrast_links(noise, 50)
    assert not links[0, 0].any()
    assert not links[4, :, -1].any()
    for d, (dy, dx) in enumerate(NEIGHBOURS):
        y, x = 10, 20
        assert links[d, y, x] == pytest.approx(links[7 - d, y + dy, x + dx])
    assert contrast_links(np.zeros((3, 3, 3), np.uint8), 50)[4, 1, 1] == 50


def test_density_is_that_of_the_mixture(noise) -> None:
    points = noise.reshape(-1, 3).T.astype(np.float32).copy()
    mixture = fit(points, GmmOptions(clusters=3, iterations=4, tolerance=0))
    parts = []
    for share, mean, cov in zip(mixture.shares, mixture.means, mixture.covariances, strict=True):
        d = points.T - mean
        m = np.einsum("ni,ij,nj->n", d, np.linalg.inv(cov), d)
        norm = np.sqrt(np.linalg.det(2 * np.pi * cov))
        parts.append(share * np.exp(-m / 2) / norm)
    assert log_density(points, mixture) == pytest.approx(np.log(sum(parts)), abs=1e-3)


def test_boxes_outside_are_refused(disc) -> None:
    for box in ([70, 0, 90, 9], [20, 30, 20, 40]):
        with pytest.raises(InvalidInput, match="holds no pixel"):
            graph_cut(disc[0], GraphCutOptions(), Prompts(box=np.array(box, np.float32)))


def test_constant_and_stop(disc) -> None:
    assert not graph_cut(np.full((5, 6, 3), 4, np.uint8), GraphCutOptions()).any()
    with pytest.raises(Cancelled):
        graph_cut(disc[0], GraphCutOptions(), stop=lambda: True)
