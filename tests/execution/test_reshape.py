"""Tensors that requests know by another shape than the model."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.execution.backend import Backend, GraphSpecs, never
from segserve.execution.reshape import Reshape, ReshapedBackend


class Sums:
    """Gives the sum of each row, [n], and its input; remembers what it was given."""

    specs = GraphSpecs((), ())
    reentrant = True
    device = "cuda:0"
    providers = ("P",)
    widens = True

    def __init__(self):
        self.given = []
        self.closed = False

    def run(self, inputs, *, wide, stop=never):
        self.given.append((inputs, wide))
        x = inputs["x"]
        return {"sum": x.reshape(len(x), -1).sum(axis=1), "same": x}

    def settle(self, inputs):
        self.given.append((inputs, None))

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("dims", "shape", "given", "expected"),
    [
        ((6,), (2, 3), (6,), (2, 3)),
        ((1,), (), (1,), ()),
        ((), (1,), (), (1,)),
        ((-1, 3, 2), (-1, 6), (5, 3, 2), (5, 6)),
        ((-1, 6, -1), (1, -1, 2, 3, -1), (4, 6, 0), (1, 4, 2, 3, 0)),
    ],
)
@pytest.mark.parametrize("batch", [(), (7,)])
def test_free_axes_stand_for_each_other_in_order(dims, shape, given, expected, batch):
    array = np.zeros(batch + given, np.float32)
    reshape = Reshape(dims, shape)
    there = reshape.apply(array, batched=bool(batch))
    assert there.shape == batch + expected
    assert np.shares_memory(there, array) or array.size == 0
    assert reshape.reverse.apply(there, batched=bool(batch)).shape == array.shape


def test_the_backend_sees_its_own_shapes_and_callers_theirs():
    inner = Sums()
    backend = ReshapedBackend(
        inner, {"x": Reshape((6,), (2, 3))}, {"sum": Reshape((1,), ())}, batched=True
    )
    rows = np.arange(12.0).reshape(2, 6)
    outputs = backend.run({"x": rows}, wide=True)
    assert inner.given[0][0]["x"].shape == (2, 2, 3)
    assert inner.given[0][1] is True
    assert outputs["sum"].tolist() == [[15], [51]]
    assert outputs["same"].shape == (2, 2, 3)
    backend.settle({"x": rows})
    assert inner.given[1][0]["x"].shape == (2, 2, 3)
    backend.close()
    assert inner.closed


def test_it_is_a_backend_like_the_one_inside():
    backend: Backend = ReshapedBackend(Sums(), {}, {}, batched=True)
    assert (backend.device, backend.providers, backend.reentrant) == ("cuda:0", ("P",), True)
    assert backend.widens


def test_outputs_that_do_not_fit_are_the_models_fault():
    backend = ReshapedBackend(Sums(), {}, {"sum": Reshape((2,), (2, 1))}, batched=True)
    with pytest.raises(BackendFailed, match=r"shapes \{'sum': \[2\]\}, which the config's reshape"):
        backend.run({"x": np.zeros((2, 3))}, wide=False)
