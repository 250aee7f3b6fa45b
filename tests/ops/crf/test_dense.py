"""The dense CRF against an exact mean field, and against pydensecrf where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.crf import DenseCrfOptions, dense_crf

MODES = ("exact", "lazy", "fast")
RECORD = "pydensecrf.npz"
RECORDED = {"2, wide": (2, 80, 13, 10), "5, wide": (5, 80, 13, 10), "5, narrow": (5, 49, 5, 4)}
"""Labels, and the bilateral sxy in pixels, srgb and compat."""


def exact_mean_field(image, unary, options):
    """Filter with the whole N x N kernel matrices, in float64 (Kraehenbuehl and Koltun 2011)."""
    labels, height, width = unary.shape
    y, x = np.mgrid[:height, :width]
    place = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    colour = image.reshape(-1, 3).astype(np.float64)

    def normalised(features):
        squares = ((features[:, None] - features[None]) ** 2).sum(axis=2)
        kernel = np.exp(-squares / 2)
        norm = 1 / np.sqrt(kernel.sum(axis=1))
        return kernel * norm[:, None] * norm[None]

    bilateral = normalised(
        np.hstack([place / options.bilateral_sxy_px, colour / options.bilateral_srgb])
    )
    gaussian = normalised(place / options.gaussian_sxy_px)
    energy = unary.reshape(labels, -1).astype(np.float64)

    def beliefs(logits):
        parts = np.exp(logits - logits.max(axis=0))
        return parts / parts.sum(axis=0)

    q = beliefs(-energy)
    for _ in range(options.iterations):
        near = options.bilateral_compat * (q @ bilateral)
        q = beliefs(-energy + near + options.gaussian_compat * (q @ gaussian))
    return q.reshape(unary.shape)


def scene(height, width, labels, *, seed=0, noise=25.0):
    """Give an image of a few areas, and uncertain unaries of them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    truth = (
        ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2) + 2 * (x > y)
    ) % min(labels, 4)
    colours = rng.integers(40, 215, (labels, 3))
    image = np.clip(colours[truth] + rng.normal(0, noise / 4, (height, width, 3)), 0, 255)
    logits = rng.normal(0, 0.8, (labels, height, width))
    likelier = np.take_along_axis(logits, truth[None], axis=0) + 1.3
    np.put_along_axis(logits, truth[None], likelier, axis=0)
    logits -= 3 * (np.arange(labels) >= 4)[:, None, None]
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    return image.astype(np.uint8), -np.log(p).astype(np.float32)


@pytest.mark.parametrize(("mode", "agreement"), [("exact", 0.96), ("lazy", 0.96), ("fast", 0.93)])
def test_close_to_the_exact_mean_field(mode, agreement):
    image, unary = scene(48, 56, 4)
    options = DenseCrfOptions(mode=mode)
    wanted = exact_mean_field(image, unary, options)
    q = dense_crf(image, unary, options)
    assert np.mean(q.argmax(axis=0) == wanted.argmax(axis=0)) >= agreement
    assert np.abs(q - wanted).mean() < 0.03
    assert np.mean(unary.argmin(axis=0) == wanted.argmax(axis=0)) < 0.9  # there was work to do


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("labels", [2, 9, 150])
def test_beliefs_sum_to_one(mode, labels):
    image, unary = scene(33, 27, labels)
    q = dense_crf(image, unary, DenseCrfOptions(mode=mode))
    assert q.dtype == np.float32
    assert q.shape == unary.shape
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("sure", [1, 0.1, 0.01])
@pytest.mark.parametrize("labels", [2, 21, 150])
def test_lazy_agrees_with_exact(labels, sure):
    image, unary = scene(120, 160, labels, seed=labels)
    exact, lazy = (
        dense_crf(image, sure * unary, DenseCrfOptions(mode=mode)) for mode in ("exact", "lazy")
    )
    assert np.mean(exact.argmax(axis=0) == lazy.argmax(axis=0)) >= 0.9998
    assert np.abs(exact - lazy).mean() < 1e-4


@pytest.mark.parametrize("sxy_px", [3.0, 1.0])
def test_fast_works_at_half_size_where_pixels_are_sure_and_agrees(sxy_px):
    image, unary = scene(90, 120, 5)
    exact, lazy, fast = (
        dense_crf(image, 20 * unary, DenseCrfOptions(mode=mode, gaussian_sxy_px=sxy_px))
        for mode in ("exact", "lazy", "fast")
    )
    assert np.abs(fast - lazy).max() > 1e-3
    assert np.mean(exact.argmax(axis=0) == fast.argmax(axis=0)) >= 0.995
    np.testing.assert_allclose(fast.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(("sure", "gaussian_sxy_px"), [(1, 3.0), (20, 0.9)])
def test_fast_is_lazy_where_half_the_size_would_not_do(sure, gaussian_sxy_px):
    image, unary = scene(60, 80, 5)
    lazy, fast = (
        dense_crf(image, sure * unary, DenseCrfOptions(mode=mode, gaussian_sxy_px=gaussian_sxy_px))
        for mode in ("lazy", "fast")
    )
    np.testing.assert_array_equal(fast, lazy)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (40, 30)])
def test_fast_with_sure_pixels_at_any_size(size):
    image, unary = scene(*size, 3)
    q = dense_crf(image, 20 * unary, DenseCrfOptions(mode="fast"))
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-5)
    none = dense_crf(image, 20 * unary, DenseCrfOptions(mode="fast", iterations=0))
    assert np.mean(none.argmax(axis=0) == unary.argmin(axis=0)) > 0.9


@pytest.mark.parametrize("mode", MODES)
def test_no_iterations_give_the_unary_alone(mode):
    image, unary = scene(12, 10, 3)
    q = dense_crf(image, unary, DenseCrfOptions(mode=mode, iterations=0))
    p = np.exp(-unary.astype(np.float64))
    np.testing.assert_allclose(q, p / p.sum(axis=0), atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (40, 30)])
def test_tiny_and_constant_images(mode, size):
    image = np.full((*size, 3), 77, np.uint8)
    unary = np.full((3, *size), 1.0, np.float32)
    unary[1] = 0.5
    q = dense_crf(image, unary, DenseCrfOptions(mode=mode))
    assert (q.argmax(axis=0) == 1).all()
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-5)


def test_potts_weights_in_three_forms_are_the_same():
    image, unary = scene(30, 34, 5)
    eye = np.eye(5, dtype=np.float32)
    forms = [
        DenseCrfOptions(mode="exact", gaussian_compat=3.0 * sign, bilateral_compat=10.0 * sign)
        for sign in (1.0, -np.ones(5, np.float32), -eye, 1 - eye)
    ]
    first, *others = [dense_crf(image, unary, options) for options in forms]
    for other in others:
        np.testing.assert_allclose(other, first, atol=2e-4)


def test_a_label_that_is_not_rewarded_loses_ground():
    image, unary = scene(30, 34, 3)
    fair = DenseCrfOptions(mode="lazy")
    mean = DenseCrfOptions(
        gaussian_compat=np.array([0, -3, -3], np.float32),
        bilateral_compat=np.array([0, -10, -10], np.float32),
    )
    before, after = (dense_crf(image, unary, o)[0].sum() for o in (fair, mean))
    assert after < before


def test_a_matrix_couples_labels():
    image, unary = scene(30, 34, 3)
    costs = np.zeros((3, 3), np.float32)
    costs[0, 1] = costs[1, 0] = -10  # labels 0 and 1 like to be together, nothing else counts
    q = dense_crf(image, unary, DenseCrfOptions(bilateral_compat=costs, gaussian_compat=0.0))
    wanted = exact_potts_free(image, unary, costs)
    assert np.mean(q.argmax(axis=0) == wanted.argmax(axis=0)) > 0.93


def exact_potts_free(image, unary, costs):
    """Do one exact mean field with a matrix of costs and the bilateral term alone."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    features = np.hstack(
        [np.stack([x.ravel(), y.ravel()], axis=1) / 80.0, image.reshape(-1, 3) / 13.0]
    )
    kernel = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=2) / 2)
    norm = 1 / np.sqrt(kernel.sum(axis=1))
    kernel *= norm[:, None] * norm[None]
    energy = unary.reshape(3, -1).astype(np.float64)
    q = np.exp(-energy)
    for _ in range(10):
        logits = -energy - costs @ (q @ kernel)
        q = np.exp(logits - logits.max(axis=0))
        q /= q.sum(axis=0)
    return q.reshape(unary.shape)


@pytest.mark.parametrize("mode", MODES)
def test_stop_is_asked_between_iterations(mode):
    image, unary = scene(20, 20, 3)
    asked = []

    def stop():
        asked.append(None)
        return len(asked) == 4

    with pytest.raises(Cancelled):
        dense_crf(image, unary, DenseCrfOptions(mode=mode), stop=stop)
    assert len(asked) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "values",
    [
        {"gaussian_sxy_px": 1e-3},
        {"gaussian_sxy_px": 1e6},
        {"bilateral_sxy_px": 1e6},
        {"bilateral_srgb": 1e6},
        {"gaussian_compat": 1e6},
        {"gaussian_compat": -1e6},
        {"bilateral_compat": 1e6},
        {"bilateral_compat": -1e6},
    ],
)
def test_options_at_their_bounds_give_beliefs(mode, values):
    image, unary = scene(20, 24, 3)
    q = dense_crf(image, unary, DenseCrfOptions(mode=mode, **values))
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-4)


def test_inputs_of_other_layouts():
    image, unary = scene(20, 24, 3)
    q = dense_crf(image, unary)
    turned = dense_crf(
        np.asfortranarray(image), np.ascontiguousarray(unary.transpose(1, 2, 0)).transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(q, turned)
    image.setflags(write=False)
    unary.setflags(write=False)
    np.testing.assert_array_equal(q, dense_crf(image, unary))


@pytest.mark.parametrize(
    ("image", "unary", "says"),
    [
        (np.zeros((4, 4)), np.zeros((2, 4, 4), np.float32), "image must be uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4), np.float32), "unary must be float32"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 5), np.float32), "the image's size"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), np.nan, np.float32), "finite"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), np.inf, np.float32), "finite"),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((2, 0, 4), np.float32), "no empty axis"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_wrong_inputs_are_refused(image, unary, says, mode):
    with pytest.raises(InvalidInput, match=says):
        dense_crf(image, unary, DenseCrfOptions(mode=mode))


def test_a_compatibility_of_the_wrong_shape_is_refused():
    image, unary = scene(8, 8, 3)
    with pytest.raises(InvalidInput, match=r"must be a number, \[3\] or \[3, 3\]"):
        dense_crf(image, unary, DenseCrfOptions(gaussian_compat=np.ones(4, np.float32)))


@pytest.mark.parametrize(
    ("mode", "agreement", "mean"), [("exact", 1, 1e-6), ("lazy", 0.9998, 5e-5)]
)
@pytest.mark.parametrize("name", RECORDED)
def test_equal_to_pydensecrf(name, mode, agreement, mean):
    """As `record_pydensecrf` recorded it: building it takes an old Cython and a compiler."""
    _, sxy_px, srgb, compat = RECORDED[name]
    with np.load(Path(__file__).with_name(RECORD)) as record:
        image, unary, wanted = (record[f"{name}.{what}"] for what in ("image", "unary", "q"))
    options = DenseCrfOptions(
        mode=mode, bilateral_sxy_px=sxy_px, bilateral_srgb=srgb, bilateral_compat=compat
    )
    q = dense_crf(image, unary, options)
    assert np.mean(q.argmax(axis=0) == wanted.argmax(axis=0)) >= agreement
    assert np.abs(q - wanted).mean() < mean
