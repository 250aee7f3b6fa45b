"""One batch, by itself: no loop, no threads."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed, Cancelled, InvalidInput
from segserve.scheduling.batch_run import NoBatchAxis, RowResult, run_rows


class Model:
    def __init__(self, poison=None):
        self.calls = []
        self.poison = poison

    def __call__(self, inputs):
        self.calls.append(inputs["x"])
        if self.poison is not None and (inputs["x"] == self.poison).any():
            raise InvalidInput("not that one")
        return {"y": inputs["x"] + 1, "sum": inputs["x"].sum(axis=1)}


def rows_of(*values):
    return [{"x": np.array([value, 0.0], np.float32)} for value in values]


def test_every_row_gets_its_own():
    model = Model()
    results = run_rows(rows_of(1, 2, 3), model, batched=True)
    assert [r.outputs["y"].tolist() for r in results] == [[2, 1], [3, 1], [4, 1]]
    assert [r.outputs["sum"].shape for r in results] == [(), (), ()]
    assert len({id(r.run) for r in results}) == 1
    assert results[0].run.batch_size == 3
    assert min(results[0].run.batch_s, results[0].run.infer_s) >= 0


def test_string_outputs_of_one_axis_stay_arrays():
    results = run_rows(
        rows_of(1, 2), lambda _: {"y": np.array([b"a", b"b"], dtype=object)}, batched=True
    )
    assert [r.outputs["y"].tolist() for r in results] == [b"a", b"b"]
    assert all(isinstance(r.outputs["y"], np.ndarray) for r in results)


def test_rows_of_a_slab_are_not_copied_whatever_their_order():
    slab = np.arange(8, dtype=np.float32).reshape(4, 2)
    model = Model()
    results = run_rows([{"x": slab[i]} for i in (2, 0, 1)], model, batched=True)
    assert np.shares_memory(model.calls[0], slab)
    assert [r.outputs["y"].tolist() for r in results] == [[5, 6], [1, 2], [3, 4]]


def test_rows_from_all_over_keep_their_order():
    slab = np.arange(8, dtype=np.float32).reshape(4, 2)
    model = Model()
    run_rows([{"x": slab[i]} for i in (3, 0)], model, batched=True)
    assert model.calls[0].tolist() == [[6, 7], [0, 1]]


def test_two_inputs_stay_together():
    a = np.arange(3, dtype=np.float32).reshape(3, 1)
    b = np.arange(10, 13, dtype=np.int64).reshape(3, 1)
    rows = [{"a": a[i], "b": b[2 - i].copy()} for i in (1, 0, 2)]
    results = run_rows(rows, lambda inputs: {"y": inputs["a"] * 100 + inputs["b"]}, batched=True)
    assert [float(r.outputs["y"][0]) for r in results] == [111, 12, 210]


def test_a_poisoned_row_fails_alone():
    model = Model(poison=2)
    first, second, third = run_rows(rows_of(1, 2, 3), model, batched=True)
    assert (first.outputs["y"][0], third.outputs["y"][0]) == (2, 4)
    assert isinstance(second, InvalidInput)
    assert [len(call) for call in model.calls] == [3, 1, 1, 1]
    assert first.run is not third.run


def test_foreign_errors_are_the_backends():
    (error,) = run_rows(rows_of(1), lambda _: 1 / 0, batched=True)
    assert type(error) is BackendFailed
    assert "division by zero" in error.message


@pytest.mark.parametrize("shape", [(), (1, 2), (4, 2)])
def test_outputs_without_a_row_each_are_an_error_for_all(shape):
    calls = []

    def model(inputs):
        calls.append(1)
        return {"y": np.zeros(shape)}

    errors = run_rows(rows_of(1, 2), model, batched=True)
    assert [type(e) for e in errors] == [NoBatchAxis, NoBatchAxis]
    assert "max_batch_size to 0" in errors[0].message
    assert len(calls) == 1


def test_without_a_batch_axis_tensors_pass_as_they_are():
    whole = {"x": np.ones((2, 2), np.float32)}
    model = Model()
    (result,) = run_rows([whole], model, batched=False)
    assert model.calls[0] is whole["x"]
    assert isinstance(result, RowResult)
    assert result.outputs["y"].tolist() == [[2, 2], [2, 2]]


def test_a_batch_that_nobody_waits_for_is_not_run_again_row_by_row():
    calls = []

    def ended(inputs):
        calls.append(len(inputs["x"]))
        raise Cancelled("nobody waits")

    results = run_rows(rows_of(1, 2, 3), ended, batched=True)
    assert calls == [3]
    assert [type(result) for result in results] == [Cancelled] * 3
    assert len(set(map(id, results))) == 3
