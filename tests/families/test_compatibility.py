"""Compatibilities as text, and the part of them that is of some labels."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.families.compatibility import of_labels, parse_compatibility

PAIRS = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], np.float32)


@pytest.mark.parametrize(("text", "weight"), [("0", 0), ("0.00", 0), (".5", 0.5), ("1e6", 1e6)])
def test_one_weight(text, weight):
    assert parse_compatibility(text) == weight
    assert of_labels(weight, 7, np.array([2])) == weight


def test_a_weight_of_each_label_is_a_negative_cost():
    assert parse_compatibility("4, 0,-2.5").tolist() == [-4, 0, 2.5]


def test_costs_of_pairs():
    costs = parse_compatibility("0,1,2; 1,0,3; 2,3,0")
    assert costs.dtype == np.float32
    assert (costs == PAIRS).all()
    with pytest.raises(ValueError, match="read-only"):
        costs[0, 0] = 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "-1", "nan", "inf", "1e7", "1,", "1;", "1;2", "1,2;3", "1,2;3,4;5,6", "1,1e39"),
        "1," * (1 << 18),
    ],
)
def test_what_does_not_read(text):
    assert parse_compatibility(text) is None


def test_the_part_of_some_labels():
    kept = np.array([0, 2])
    assert of_labels(PAIRS[1], 3, kept).tolist() == [1, 3]
    assert of_labels(PAIRS, 3, kept).tolist() == [[0, 2], [2, 0]]
    assert of_labels(PAIRS, 3) is not None


@pytest.mark.parametrize(("compat", "given"), [(PAIRS, "3 x 3"), (PAIRS[0], "3")])
def test_another_number_of_labels(compat, given):
    with pytest.raises(InvalidInput, match=f"has {given} numbers, expected 1, 2 or 2 x 2"):
        of_labels(compat, 2)
