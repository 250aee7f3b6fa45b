"""Checks of tensor requests: what passes, and the texts that Triton's users match on."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.messages import InferRequest, ModelRef
from segserve.core.tensor import DataType, TensorSpec
from segserve.serving.request_checks import check_inputs, check_outputs

IMAGE = TensorSpec("image", DataType.FP32, (3, -1, -1))
SCALE = TensorSpec("scale", DataType.FP32, (1,), optional=True)


def request(outputs=(), **inputs):
    return InferRequest(model=ModelRef("m"), inputs=inputs, outputs=outputs, id="7")


def test_rows_of_a_batch():
    rows = check_inputs(
        request(image=np.zeros((5, 3, 8, 9), np.float32)), [IMAGE, SCALE], max_batch_size=2
    )
    assert rows == 5


def test_a_model_that_does_not_batch_has_one_row():
    rows = check_inputs(request(image=np.zeros((3, 8, 9), np.float32)), [IMAGE], max_batch_size=0)
    assert rows == 1


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, r"\[request id: 7\] expected 1 inputs but got 0 inputs for model 'm'"),
        (
            {"image": np.zeros((1, 3, 8, 9), np.uint8)},
            "inference input 'image' data-type is 'UINT8', but model 'm' expects 'FP32'",
        ),
        (
            {"image": np.zeros((1, 2), np.float32)},
            r"Expected \[-1,3,-1,-1\], got \[1,2\]. NOTE: Setting a non-zero max_batch_size",
        ),
        ({"picture": np.zeros((1, 3, 8, 9), np.float32)}, "unexpected inference input 'picture'"),
        ({"image": np.zeros((0, 3, 8, 9), np.float32)}, "batch size 0"),
        (
            {"image": np.zeros((2, 3, 8, 9), np.float32), "scale": np.zeros((1, 1), np.float32)},
            "different batch sizes",
        ),
        (
            {"image": np.array([b"x"], dtype=object)},
            "data-type is 'BYTES', but model 'm' expects 'FP32'",
        ),
    ],
)
def test_wrong_inputs_are_refused_by_name(inputs, text):
    with pytest.raises(InvalidInput, match=text):
        check_inputs(request(**inputs), [IMAGE, SCALE], max_batch_size=4)


def test_outputs_keep_the_models_order():
    assert check_outputs(request(outputs=("b", "a")), ["a", "x", "b"]) == ("a", "b")
    assert check_outputs(request(), ["a", "b"]) == ("a", "b")


def test_an_unknown_output_is_refused():
    with pytest.raises(InvalidInput, match="unexpected inference output 'c'"):
        check_outputs(request(outputs=("c",)), ["a", "b"])
