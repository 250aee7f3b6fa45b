"""Messages between pixels, and the iterations, against plain numpy on the same lattice."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.crf.field import Message, aligned, ask, groups_of, infer, padded
from segserve.ops.crf.lattice import bilateral_lattice, gaussian_lattice


def filtered(lattice, q):
    """Filter [N, K] with the lattice's own weights and neighbours."""
    corners = lattice.corners[lattice.simplex]
    values = np.zeros((lattice.rows, q.shape[1]))
    np.add.at(values, corners, lattice.weights[..., None] * q[:, None])
    for pair in lattice.pairs:
        values = values + 0.5 * values[pair].sum(axis=1)
        values[0] = 0
    return lattice.gain * (lattice.weights[..., None] * values[corners]).sum(axis=1)


def softmax(logits):
    parts = np.exp(logits - logits.max(axis=1, keepdims=True))
    return parts / parts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [1, 3, 8, 20, 40])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_same_as_numpy(labels, lazy):
    rng = np.random.default_rng(labels)
    image = rng.integers(0, 256, (14, 17, 3)).astype(np.uint8)
    near, close = bilateral_lattice(image, 20.0, 60.0), gaussian_lattice(14, 17, 3.0)
    costs = rng.normal(0, 1, (labels, labels)).astype(np.float32)
    weights = [np.full(labels, 3, np.float32), costs + costs.T]
    unary = rng.normal(0, 1, (14 * 17, labels))
    q = softmax(unary)
    for _ in range(4):
        q = softmax(unary + 3 * filtered(near, q) + filtered(close, q) @ (costs + costs.T))
    rows = aligned(14 * 17 * padded(labels))
    rows[:] = -1e30
    rows.reshape(len(unary), -1)[:, :labels] = unary
    messages = [Message(at, weight) for at, weight in zip((near, close), weights, strict=True)]
    beliefs = infer(rows, *messages, 4, lazy=lazy, stop=None).reshape(len(unary), -1)
    np.testing.assert_allclose(beliefs[:, :labels], q, atol=5e-3 if lazy else 1e-4)
    assert (beliefs[:, labels:] < 1e-6).all()


@pytest.mark.parametrize(("labels", "floats"), [(1, 8), (8, 8), (9, 16), (150, 152)])
def test_rows_are_multiples_of_eight(labels, floats):
    assert padded(labels) == floats


def test_up_to_32_labels_are_straight_code():
    assert groups_of(32) == (0, 0, 0, 0)
    np.testing.assert_array_equal(groups_of(40), np.zeros(5))


def test_arrays_begin_at_a_cache_line():
    for count in (1, 8, 1000):
        array = aligned(count)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (count,)
        assert not array.any()


def test_stop_is_heard():
    ask(None)
    ask(lambda: False)
    with pytest.raises(Cancelled):
        ask(lambda: True)
