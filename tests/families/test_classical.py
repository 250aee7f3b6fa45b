"""The family of segmenters without weights: plan, prepare, answer."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput, LoadFailed, TooLarge, Unsupported
from segserve.core.messages import RawImage
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.prompts import Prompt
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.factory import build_family
from segserve.families.family import TakesParameters
from segserve.ops.warm import KernelGroup

INPUTS = (
    TensorSpec("image", DataType.UINT8, (-1, -1, 3)),
    TensorSpec("features", DataType.INT32, (1,), optional=True),
    TensorSpec("clusters", DataType.INT32, (1,), optional=True),
    TensorSpec("position_weight", DataType.FP32, (1,), optional=True),
)
OUTPUTS = (TensorSpec("labels", DataType.INT32, (-1, -1)),)


def family(**parameters):
    given = {"family": "classical", "segmenter": "kmeans", **parameters}
    return build_family(given, (), INPUTS, OUTPUTS, max_image_pixels=10_000)


def image(height, width):
    return RawImage(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def prepared(one, picture, options):
    plan = one.plan(picture, options)
    out = {n: np.empty(s, plan.inputs_dtypes[n]) for n, s in plan.inputs_shapes.items()}
    one.preprocess(picture, plan, out)
    return plan, out


def test_small_images_go_as_they_are() -> None:
    picture = image(6, 8)
    plan, out = prepared(family(), picture, SegmentOptions())
    assert plan.inputs_shapes == {"image": (6, 8, 3)}
    assert out["image"].dtype == np.uint8
    assert np.array_equal(out["image"], picture.pixels)


def test_our_own_code_names_its_kernels_and_a_library_needs_none() -> None:
    assert family().kernels == {KernelGroup.LABEL_MAPS, KernelGroup.KMEANS}
    assert family(implementation="skimage").kernels == {KernelGroup.LABEL_MAPS}


def test_options_become_tensors() -> None:
    options = SegmentOptions(
        parameters={"clusters": "4", "features": "intensity", "position_weight": "0.25"}
    )
    _, out = prepared(family(), image(6, 8), options)
    assert {n: (a.tolist(), str(a.dtype)) for n, a in out.items() if n != "image"} == {
        "clusters": ([4], "int32"),
        "features": ([2], "int32"),
        "position_weight": ([0.25], "float32"),
    }


def test_large_images_are_made_smaller_and_answers_larger_again() -> None:
    one = family(max_side="10")
    plan, out = prepared(one, image(20, 40), SegmentOptions())
    assert out["image"].shape == (5, 10, 3)
    labels = np.arange(50, dtype=np.int32).reshape(5, 10) // 25
    found = one.postprocess({"labels": labels}, plan, SegmentOptions()).label_map
    assert (found.height_px, found.width_px) == (20, 40)
    assert sum(s.area for s in found.segments) == 800
    small = SegmentOptions(output_size=OutputSize.STRIDE)
    assert one.postprocess({"labels": labels}, plan, small).label_map.height_px == 5


def test_it_says_which_parameters_it_takes() -> None:
    one = family()
    assert isinstance(one, TakesParameters)
    assert "clusters" in one.parameter_names
    described = one.describe()["parameters"]["clusters"]
    assert described["default"] == 5
    assert described["expected"] == "a whole number from 1 to 64"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"parameters": {"clusters": "0"}}, InvalidInput, "clusters"),
        ({"parameters": {"klusters": "3"}}, InvalidInput, "'klusters' is not one of kmeans's"),
        ({"score_threshold": 0.5}, InvalidInput, "score_threshold"),
        ({"prompts": (Prompt(box=(0, 0, 2, 2)),)}, Unsupported, "'box' cannot be used"),
    ],
)
def test_wrong_requests(options, error, text) -> None:
    with pytest.raises(error, match=text):
        family().plan(image(4, 4), SegmentOptions(**options))


def test_too_many_pixels() -> None:
    with pytest.raises(TooLarge):
        family().plan(image(101, 100), SegmentOptions())


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"segmenter": "magic"}, "expected one of kmeans"),
        ({"clusters": "many"}, "option 'clusters' must be"),
        ({"max_side": "0"}, "max_side"),
    ],
)
def test_wrong_configs(parameters, text) -> None:
    with pytest.raises(LoadFailed, match=text):
        family(**parameters)


def test_another_image_input_is_refused() -> None:
    spec = (TensorSpec("image", DataType.FP32, (3, -1, -1)),)
    with pytest.raises(LoadFailed, match="TYPE_UINT8"):
        build_family({"family": "classical", "segmenter": "kmeans"}, (), spec, OUTPUTS)


def test_raw_maps() -> None:
    one = family()
    plan, _ = prepared(one, image(2, 3), SegmentOptions())
    labels = np.array([[0, 1, 1], [0, 0, 1]], np.int32)
    raw = SegmentOptions(mask_format=MaskFormat.RAW)
    assert np.array_equal(one.postprocess({"labels": labels}, plan, raw).label_map.labels, labels)
