"""Messages between pixels, and the iterations, against plain numpy on the same lattice."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.crf.field import EXACT, LAZY, Message, aligned, ask, groups_of, infer, padded
from segserve.ops.crf.field_kernel import ROWS_OF_A_BLOCK
from segserve.ops.crf.lattice import UNUSED_EVERY, bilateral_lattice, gaussian_lattice


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
@pytest.mark.parametrize(("tolerance", "apart"), [(EXACT, 1e-4), (LAZY, 5e-3)])
def test_the_same_as_numpy(labels, tolerance, apart):
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
    beliefs = infer(rows, *messages, 4, tolerance=tolerance, stop=None).reshape(len(unary), -1)
    np.testing.assert_allclose(beliefs[:, :labels], q, atol=apart)
    assert (beliefs[:, labels:] == 0).all()


@pytest.mark.parametrize(("labels", "floats"), [(1, 8), (8, 8), (9, 16), (150, 152)])
def test_rows_are_multiples_of_eight(labels, floats):
    assert padded(labels) == floats


def test_up_to_24_labels_are_straight_code():
    assert groups_of(24) == (0, 0, 0)
    np.testing.assert_array_equal(groups_of(32), np.zeros(4))
    np.testing.assert_array_equal(groups_of(16, straight=1), np.zeros(2))


@pytest.mark.parametrize("labels", [5, 20])
@pytest.mark.parametrize("form", ["vector", "matrix"])
@pytest.mark.parametrize("axes", [3, 6])
@pytest.mark.parametrize("scene", ["noise", "ramps"])
def test_a_sweep_over_many_blocks_blurs_as_axis_after_axis(labels, form, axes, scene):
    rng = np.random.default_rng(axes)
    if scene == "noise":
        image = rng.integers(0, 256, (50, 60, 3)).astype(np.uint8)
        near, close = bilateral_lattice(image, 9.0, 30.0), gaussian_lattice(50, 60, 1.0)
    else:  # neighbours are near, so that most rows share their place in the ring with others
        y, x = np.mgrid[:60, :80]
        image = np.stack([3 * x, 3 * y, x + y], axis=2).astype(np.uint8)
        near, close = bilateral_lattice(image, 3.0, 6.0), gaussian_lattice(100, 120, 1.0)
        assert all(at.rows > 2 * UNUSED_EVERY and at.reach.max() < 512 for at in (near, close))
    lattice = close if axes == 3 else near
    assert lattice.rows > 10 * ROWS_OF_A_BLOCK
    weights = rng.normal(0, 1, (labels, labels) if form == "matrix" else labels)
    message = Message(lattice, weights.astype(np.float32))
    wanted = np.zeros((lattice.rows, labels))
    used = np.arange(lattice.rows) % UNUSED_EVERY != 0
    for _ in range(2):
        splatted = rng.normal(0, 1, (lattice.rows, labels)) * used[:, None]
        assert not message.splatted.any()
        message.splatted.reshape(lattice.rows, -1)[:, :labels] = splatted
        message.send(np.arange(len(lattice.simplex), dtype=np.int32))
        for pair in lattice.pairs:
            splatted = splatted + 0.5 * splatted[pair].sum(axis=1)
            splatted[0] = 0
        change = lattice.gain * (splatted @ weights.T if form == "matrix" else splatted * weights)
        wanted += change
    values = message.values.reshape(lattice.rows, -1)
    np.testing.assert_allclose(values[:, :labels], wanted, atol=1e-4)
    assert not values[:, labels:].any()
    assert (message.moved >= np.abs(change).max(axis=1)[lattice.corners].max(axis=1) - 1e-4).all()


def splat(message, pixels, change):
    lattice = message.lattice
    rows = message.splatted.reshape(lattice.rows, -1)
    shares = lattice.weights[pixels][..., None] * change[:, None]
    np.add.at(rows[:, : change.shape[1]], lattice.corners[lattice.simplex[pixels]], shares)


@pytest.mark.parametrize("labels", [5, 20])
@pytest.mark.parametrize("form", ["vector", "matrix"])
@pytest.mark.parametrize("pixels", [0, 1, 40, 400])
def test_few_changes_are_blurred_to_the_very_bits_of_a_sweep(labels, form, pixels):
    rng = np.random.default_rng(pixels)
    lattice = gaussian_lattice(100, 120, 1.0)
    weights = rng.normal(0, 1, (labels, labels) if form == "matrix" else labels)
    few, all_of_them = (Message(lattice, weights.astype(np.float32)) for _ in range(2))
    for _ in range(3):
        chosen = np.sort(rng.choice(100 * 120, pixels, replace=False)).astype(np.int32)
        change = rng.normal(0, 1, (pixels, labels)).astype(np.float32)
        for message in (few, all_of_them):
            splat(message, chosen, change)
        few.send(chosen)
        all_of_them.send(np.arange(100 * 120, dtype=np.int32))
        np.testing.assert_array_equal(few.values, all_of_them.values)
        np.testing.assert_array_equal(few.moved, all_of_them.moved)
        assert few.values.any() == (pixels > 0)
        assert not few.splatted.any()


def test_many_changes_are_left_to_the_sweep():
    lattice = gaussian_lattice(40, 50, 1.0)
    message = Message(lattice, np.ones(3, np.float32))
    done = [message._sent_few(np.arange(n, dtype=np.int32)) for n in (10, 40 * 50, 10)]
    assert done == [True, False, True]


def test_arrays_begin_at_a_cache_line():
    for count in (1, 8, 1000):
        array = aligned(count)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (count,)
        assert not array.any()
        assert aligned(count, cleared=False).ctypes.data % 64 == 0


def test_stop_is_heard():
    ask(None)
    ask(lambda: False)
    with pytest.raises(Cancelled):
        ask(lambda: True)
