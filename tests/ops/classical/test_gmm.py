"""Gaussian mixtures: known parameters come back, likelihood rises, a plain EM as oracle."""

import itertools
import warnings

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.features import pixel_features
from segserve.ops.classical.gmm import GmmOptions, fit, gmm


def log_densities(points, mixture):
    """Plain: log(share * N(x; mean, covariance)) for each point and Gaussian."""
    out = []
    for share, mean, covariance in zip(
        mixture.shares, mixture.means, mixture.covariances, strict=True
    ):
        d = points.T.astype(float) - mean
        mahalanobis = np.einsum("ni,ij,nj->n", d, np.linalg.inv(covariance), d)
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        out.append(np.log(share) - 0.5 * (log_det + mahalanobis))
    return np.stack(out, axis=1)


def test_three_intensities_come_back(three_levels) -> None:
    image, truth = three_levels
    labels = gmm(image, GmmOptions(features="intensity", clusters=3))
    assert (labels == truth).mean() > 0.999


def test_known_gaussians_come_back() -> None:
    random = np.random.default_rng(0)
    wide = random.multivariate_normal([0, 0], [[90, 60], [60, 80]], 6000)
    narrow = random.multivariate_normal([60, -20], [[20, 0], [0, 40]], 2000)
    points = np.concatenate([wide, narrow]).T.astype(np.float32).copy()
    found = fit(points, GmmOptions(clusters=2, iterations=100, floor=1e-3))
    first, second = np.argsort(found.means[:, 0])
    assert found.shares[first] == pytest.approx(0.75, abs=0.01)
    assert found.means[second] == pytest.approx([60, -20], abs=0.5)
    assert found.covariances[first] == pytest.approx(np.array([[90, 60], [60, 80]]), rel=0.1)


def test_one_round_is_that_of_a_plain_em(noise) -> None:
    points = pixel_features(noise, "colour", 0)
    before = fit(points, GmmOptions(clusters=4, iterations=3, tolerance=0))
    after = fit(points, GmmOptions(clusters=4, iterations=4, tolerance=0))
    logs = log_densities(points, before)
    likelihood = np.logaddexp.reduce(logs, axis=1)
    shares = np.exp(logs - likelihood[:, None])
    means = shares.T @ points.T / shares.sum(axis=0)[:, None]
    assert after.log_likelihood[-1] == pytest.approx(likelihood.mean(), abs=1e-4)
    assert after.shares == pytest.approx(shares.mean(axis=0), abs=1e-4)
    assert after.means == pytest.approx(means, abs=0.02)
    assert (after.labels == logs.argmax(axis=1)).mean() > 0.999


@pytest.mark.parametrize("dims", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("count", [40, 224, 225, 1793])
def test_a_round_at_the_borders_of_blocks(count, dims) -> None:
    random = np.random.default_rng(dims)
    points = random.normal(random.choice([-60, 10, 80], count), 12, (dims, count))
    points = points.astype(np.float32)
    before = fit(points, GmmOptions(clusters=3, iterations=1, tolerance=0))
    after = fit(points, GmmOptions(clusters=3, iterations=2, tolerance=0))
    logs = log_densities(points, before)
    likelihood = np.logaddexp.reduce(logs, axis=1)
    shares = np.exp(logs - likelihood[:, None])
    weights = shares.sum(axis=0)
    second = np.einsum("nk,in,jn->kij", shares, points, points) / weights[:, None, None]
    assert after.log_likelihood[-1] == pytest.approx(likelihood.mean(), abs=1e-4)
    assert after.shares == pytest.approx(weights / count, abs=1e-5)
    assert after.means == pytest.approx((points @ shares).T / weights[:, None], abs=1e-3)
    outer = after.means[:, :, None] * after.means[:, None]
    assert after.covariances == pytest.approx(second - outer + np.eye(dims), abs=0.02)
    assert np.array_equal(after.labels, logs.argmax(axis=1))


@pytest.mark.parametrize("features", ["colour", "colour+position"])
def test_scikit_learn_from_the_same_start_agrees(features) -> None:
    mixture = pytest.importorskip("sklearn.mixture", reason="needs the dev extra: make test")
    random = np.random.default_rng(5)
    colours = np.array([(40, 50, 60), (90, 80, 70), (200, 90, 40), (120, 180, 220)])
    y, x = np.mgrid[:90, :120]
    image = colours[(y // 30 + x // 25) % 4] + random.normal(0, 14, (90, 120, 3))
    points = pixel_features(np.clip(image, 0, 255).astype(np.uint8), features, 0.5)
    rounds = 12
    first = fit(points, GmmOptions(clusters=4, iterations=1, tolerance=0))
    ours = fit(points, GmmOptions(clusters=4, iterations=rounds, tolerance=0))
    theirs = mixture.GaussianMixture(
        4,
        max_iter=rounds - 2,
        tol=0,
        reg_covar=1.0,
        weights_init=first.shares,
        means_init=first.means,
        precisions_init=np.linalg.inv(first.covariances),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped at the last round is meant
        theirs.fit(points.T)
    assert ours.log_likelihood[-1] == pytest.approx(theirs.score(points.T), abs=1e-3)
    assert (ours.labels == theirs.predict(points.T)).mean() >= 0.999


def test_likelihood_never_falls(noise) -> None:
    points = pixel_features(noise, "colour+position", 0.5)
    history = fit(
        points, GmmOptions(clusters=5, iterations=30, tolerance=0, floor=1e-3)
    ).log_likelihood
    assert len(history) > 5
    assert all(b >= a - 1e-4 for a, b in itertools.pairwise(history))


@pytest.mark.parametrize("shape", [(1, 1, 3), (6, 5, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not gmm(np.full(shape, 77, np.uint8), GmmOptions()).any()


def test_two_pixels_and_two_colours() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert gmm(image, GmmOptions(clusters=5)).max() <= 1


def test_texture_is_served_and_a_seed_gives_one_answer(noise) -> None:
    options = GmmOptions(features="texture", clusters=3, seed=2)
    assert np.array_equal(gmm(noise, options), gmm(noise, options))


def test_stop_is_asked(noise) -> None:
    with pytest.raises(Cancelled):
        gmm(noise, GmmOptions(), stop=lambda: True)
