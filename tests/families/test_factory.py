"""Configs that make a family, and what the others are answered with."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.box_masks import BoxMasks
from segserve.families.factory import build_family
from segserve.families.instance import InstanceFamily
from segserve.families.semantic import SemanticFamily

IMAGE = TensorSpec("image", DataType.FP32, (3, -1, -1))
SIZES = TensorSpec("sizes", DataType.INT64, (2,))
LOGITS = TensorSpec("logits", DataType.FP32, (4, -1, -1))
AUX = TensorSpec("aux", DataType.FP32, (4, -1, -1))
COLUMNS = tuple(
    TensorSpec(name, DataType.FP32, dims)
    for name, dims in (("boxes", (9, 4)), ("scores", (9,)), ("labels", (9,)), ("masks", (9, 7, 7)))
)


def test_no_family_parameter_no_family() -> None:
    assert build_family({}, (), (IMAGE,), (LOGITS,)) is None
    assert build_family({"resize": "none"}, (), (SIZES,), ()) is None


def test_semantic_with_everything() -> None:
    family = build_family(
        {
            "family": "semantic",
            "logits_output": "logits",
            "image_input": "image",
            "align_corners": "true",
            "ignore_ids": "0",
            "thing_ids": "1,2",
            "palette": "000000,ff0000",
        },
        ("a", "b", "c", "d"),
        (IMAGE, TensorSpec("extra", DataType.FP32, (1,), optional=True)),
        (AUX, LOGITS),
        max_image_pixels=99,
    )
    assert isinstance(family, SemanticFamily)
    rule = family.rule
    assert (rule.logits_output, rule.align_corners, rule.label_count) == ("logits", True, 4)
    assert (rule.ignore_ids, rule.thing_ids) == ({0}, {1, 2})
    assert rule.palette == ((0, 0, 0), (255, 0, 0))
    assert family.images.max_pixels == 99


def test_instance_with_everything() -> None:
    family = build_family(
        {"family": "instance", "score_threshold": "0.05", "mask_threshold": "0"},
        ("a",),
        (IMAGE,),
        COLUMNS,
    )
    assert isinstance(family, InstanceFamily)
    assert family.rule.score_threshold == 0.05
    assert family.masks == BoxMasks(threshold=0)


def test_the_size_of_the_image_is_the_second_input() -> None:
    size = TensorSpec("image_size", DataType.FP32, (2,))
    parameters = {"family": "semantic", "image_size_input": "image_size"}
    family = build_family(parameters, (), (size, IMAGE), (LOGITS,))
    assert isinstance(family, SemanticFamily)
    assert (family.image_input, family.images.size_input) == ("image", "image_size")


@pytest.mark.parametrize(
    ("parameters", "labels", "inputs", "outputs", "names"),
    [
        ({"image_size_input": "size"}, (), (IMAGE, SIZES), (LOGITS,), "did you mean 'sizes'"),
        ({"image_size_input": "sizes"}, (), (IMAGE, SIZES), (LOGITS,), "must be TYPE_FP32 .2."),
        ({"family": "semantik"}, (), (IMAGE,), (LOGITS,), "did you mean 'semantic'"),
        ({"resise": "none"}, (), (IMAGE,), (LOGITS,), "did you mean 'resize'"),
        ({"resize": "half"}, (), (IMAGE,), (LOGITS,), "'resize': got 'half'"),
        ({"image_input": "imagge"}, (), (IMAGE,), (LOGITS,), "did you mean 'image'"),
        ({}, (), (IMAGE, SIZES), (LOGITS,), "which of .'image', 'sizes'. is the image"),
        ({"image_input": "image"}, (), (IMAGE, SIZES), (LOGITS,), "also needs .'sizes'."),
        ({}, (), (SIZES,), (LOGITS,), "image input must be"),
        ({}, (), (IMAGE,), (LOGITS, AUX), "which of .'logits', 'aux'. holds the logits"),
        ({"logits_output": "logit"}, (), (IMAGE,), (LOGITS,), "did you mean 'logits'"),
        ({}, (), (IMAGE,), (SIZES,), "logits must be TYPE_FP32"),
        ({}, ("a",), (IMAGE,), (LOGITS,), "labels.txt has 1 lines.*4 classes"),
        ({"ignore_ids": "4"}, (), (IMAGE,), (LOGITS,), "'ignore_ids': got .4., expected ids below"),
        ({"thing_ids": "x"}, (), (IMAGE,), (LOGITS,), "'thing_ids': got 'x'"),
        ({"output_grid": "sauce"}, (), (IMAGE,), (LOGITS,), "did you mean 'source'"),
        (
            {"upsample": "two_step", "align_corners": "true"},
            (),
            (IMAGE,),
            (LOGITS,),
            "'upsample': got 'two_step', expected direct",
        ),
        ({"align_corners": "yes"}, (), (IMAGE,), (LOGITS,), "'align_corners'"),
        ({"palette": "red"}, (), (IMAGE,), (LOGITS,), "'palette'"),
        (
            {"family": "instance"},
            (),
            (IMAGE,),
            (LOGITS,),
            "'scores', 'labels', 'boxes', 'masks'.*missing",
        ),
        ({"family": "instance", "score_threshold": "2"}, (), (IMAGE,), COLUMNS, "in 0..1"),
        ({"family": "instance", "mask_rule": "boks"}, (), (IMAGE,), COLUMNS, "'mask_rule'.*boks"),
        ({"family": "instance", "ignore_ids": "1"}, ("a",), (IMAGE,), COLUMNS, "below 1"),
    ],
)
def test_bad_configs_are_named(parameters, labels, inputs, outputs, names: str) -> None:
    with pytest.raises(LoadFailed, match=names):
        build_family({"family": "semantic", **parameters}, labels, inputs, outputs)


@pytest.mark.parametrize(
    ("dtype", "dims", "got"),
    [
        (DataType.BOOL, (9,), r"TYPE_BOOL \[9\]"),
        (DataType.INT64, (9,), r"TYPE_INT64 \[9\]"),
        (DataType.INT32, (1,), r"TYPE_INT32 \[1\]"),
        (DataType.INT64, (), r"TYPE_INT64 \[\]"),
        (DataType.INT64, (-1,), r"TYPE_INT64 \[-1\]"),
    ],
)
def test_valid_is_a_count_of_rows(dtype, dims, got: str) -> None:
    outputs = (*COLUMNS, TensorSpec("valid", dtype, dims))
    with pytest.raises(
        LoadFailed, match=rf"'valid': got {got}, expected TYPE_INT64 \[1\].*reshape"
    ):
        build_family({"family": "instance"}, (), (IMAGE,), outputs)
    count = TensorSpec("valid", DataType.INT64, (1,))
    assert build_family({"family": "instance"}, (), (IMAGE,), (*COLUMNS, count)) is not None


def test_one_class_is_not_enough() -> None:
    one = TensorSpec("logits", DataType.FP32, (1, -1, -1))
    with pytest.raises(LoadFailed, match="1 classes"):
        build_family({"family": "semantic"}, (), (IMAGE,), (one,))


def test_free_classes_are_counted_by_the_labels() -> None:
    free = TensorSpec("logits", DataType.FP16, (-1, -1, -1))
    for labels, count in (((), None), (("a", "b"), 2)):
        family = build_family({"family": "semantic"}, labels, (IMAGE,), (free,))
        assert isinstance(family, SemanticFamily)
        assert family.rule.label_count == count
