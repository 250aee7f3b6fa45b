"""Stacking copies only when it must."""

import numpy as np

from segserve.scheduling.batch import stack


def test_neighbouring_rows_of_one_array_are_a_view():
    base = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    rows = [base[i] for i in (1, 2, 3)]
    out = stack(rows)
    assert np.shares_memory(out, base)
    assert np.array_equal(out, base[1:4])


def test_everything_else_is_copied_rightly():
    base = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    for rows in (
        [base[1], base[3]],
        [base[2], base[1]],
        [base[0], base[1].copy()],
        [base[0].T, base[1].T],
        [base[0], base[0]],
    ):
        out = stack(rows)
        assert not np.shares_memory(out, base)
        assert np.array_equal(out, np.stack(rows))


def test_one_row_gets_an_axis_without_a_copy():
    row = np.zeros((2, 3))
    assert stack([row]).shape == (1, 2, 3)
    assert np.shares_memory(stack([row]), row)


def test_empty_rows_scalars_and_objects():
    base = np.zeros((3, 0, 4), np.float32)
    assert stack(list(base)).shape == (3, 0, 4)
    scalars = np.arange(3, dtype=np.int64)
    assert stack([scalars[i : i + 1] for i in range(3)]).tolist() == [[0], [1], [2]]
    texts = np.array([[b"a"], [b"bc"]], dtype=object)
    assert stack(list(texts)).tolist() == [[b"a"], [b"bc"]]


def test_read_only_rows_stay_read_only():
    base = np.frombuffer(bytes(32), np.float32).reshape(4, 2)
    assert not stack([base[0], base[1]]).flags.writeable
