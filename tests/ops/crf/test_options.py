"""Options of the dense CRF and what compatibilities mean."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.crf.options import DenseCrfOptions, weights_of

KEPT = np.array([0, 2])


def test_defaults_are_deeplabs():
    options = DenseCrfOptions()
    assert (options.iterations, options.mode) == (10, "lazy")
    assert (options.gaussian_sxy_px, options.gaussian_compat) == (3, 3)
    assert (options.bilateral_sxy_px, options.bilateral_srgb) == (80, 13)
    assert options.bilateral_compat == 10


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"iterations": -1}, "iterations must be a whole number in 0..1000, got -1"),
        ({"iterations": 2.5}, "whole number in 0..1000, got 2.5"),
        ({"iterations": "5"}, "whole number in 0..1000, got 5"),
        ({"iterations": 1001}, "iterations"),
        ({"gaussian_sxy_px": 0.0}, "gaussian_sxy_px must be in 0.001..1e\\+06, got 0"),
        ({"gaussian_sxy_px": 1e-300}, "gaussian_sxy_px"),
        ({"bilateral_srgb": 1e39}, "bilateral_srgb"),
        ({"gaussian_compat": 1e38}, "gaussian_compat must be finite, and none of it larger"),
        ({"bilateral_compat": np.array([[0, -1e7], [1, 0]], np.float32)}, "bilateral_compat"),
        ({"bilateral_sxy_px": float("nan")}, "bilateral_sxy_px"),
        ({"bilateral_srgb": float("inf")}, "bilateral_srgb"),
        ({"gaussian_compat": float("nan")}, "gaussian_compat must be finite"),
        ({"bilateral_compat": np.array([1, np.inf], np.float32)}, "bilateral_compat"),
        ({"mode": "best"}, "one of exact, lazy, fast, got 'best'"),
    ],
)
def test_values_out_of_range_are_refused(values, says):
    with pytest.raises(InvalidInput, match=says):
        DenseCrfOptions(**values)


def test_a_potts_weight_is_the_same_for_every_kept_label():
    np.testing.assert_array_equal(weights_of(4.0, 3, KEPT), [4, 4])


def test_a_vector_is_the_diagonal_of_the_costs():
    vector = np.array([-1, -2, -3], np.float32)
    np.testing.assert_array_equal(weights_of(vector, 3, KEPT), [1, 3])


def test_a_matrix_is_made_symmetric():
    matrix = np.arange(9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(weights_of(matrix, 3, KEPT), [[0, -4], [-4, -8]])


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1,), (3, 3, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidInput, match="a compatibility must be"):
        weights_of(np.ones(shape, np.float32), 3, KEPT)
