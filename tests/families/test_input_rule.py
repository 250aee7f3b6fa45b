"""Every key, its default, and what a bad value is answered with."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.families.input_rule import (
    KEYS,
    InputRule,
    Interpolation,
    check_keys,
    parse_input_rule,
    parse_palette,
)
from segserve.families.shapes import ResizeKind, ResizeRule, ShapePolicy, SizeRounding
from segserve.ops.resize import Normalisation


def test_defaults() -> None:
    assert parse_input_rule({}) == InputRule()
    assert InputRule().shape_policy is ShapePolicy.EXACT
    assert InputRule().max_exact_buckets == 64


def test_every_key() -> None:
    rule = parse_input_rule(
        {
            "channel_order": "bgr",
            "scale": "1/255",
            "mean": "0.485,0.456,0.406",
            "std": "0.229,0.224,0.225",
            "resize": "longest_side:320",
            "interpolation": "fast_bilinear",
            "shape_policy": "pad",
            "buckets": "240x320,320x320",
            "max_exact_buckets": "9",
            "warm_sizes": "240x320,64x64",
            "pad_value": "1,2,3",
        }
    )
    assert rule == InputRule(
        normalisation=Normalisation(
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0, (2, 1, 0), (3, 2, 1)
        ),
        resize=ResizeRule(ResizeKind.LONGEST_SIDE, side_px=320),
        interpolation=Interpolation.FAST,
        shape_policy=ShapePolicy.PAD,
        buckets=((240, 320), (320, 320)),
        max_exact_buckets=9,
        warm_sizes=((240, 320), (64, 64)),
    )
    assert rule.warm_shapes == ((240, 320), (320, 320), (64, 64))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("none", ResizeRule()),
        ("shortest_side:800", ResizeRule(ResizeKind.SHORTEST_SIDE, side_px=800)),
        ("shortest_side:800,1333", ResizeRule(ResizeKind.SHORTEST_SIDE, side_px=800, cap_px=1333)),
        ("stretch:513x512", ResizeRule(ResizeKind.STRETCH, size=(513, 512))),
    ],
)
def test_resize(text: str, want: ResizeRule) -> None:
    assert parse_input_rule({"resize": text}).resize == want


def test_a_stretched_size_is_warmed() -> None:
    assert parse_input_rule({"resize": "stretch:64x96"}).warm_shapes == ((64, 96),)


def test_the_official_rule_of_a_detector() -> None:
    rule = parse_input_rule(
        {
            "resize": "shortest_side:800,1333",
            "size_rounding": "torchvision",
            "interpolation": "torch_bilinear",
            "normalise_first": "true",
            "size_multiple": "32",
        }
    )
    assert rule == InputRule(
        resize=ResizeRule(
            ResizeKind.SHORTEST_SIDE, side_px=800, cap_px=1333, rounding=SizeRounding.TORCHVISION
        ),
        interpolation=Interpolation.TORCH,
        normalise_first=True,
        size_multiple=32,
    )


def test_a_stretched_size_is_warmed_at_its_multiple() -> None:
    rule = parse_input_rule({"resize": "stretch:64x97", "size_multiple": "32"})
    assert rule.warm_shapes == ((64, 128),)


def test_one_scale_is_its_reciprocal() -> None:
    assert parse_input_rule({"scale": "0.5"}).normalisation.divisor == 2


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"channel_order": "rbg"}, "'channel_order': got 'rbg', expected rgb"),
        ({"scale": "1/0"}, "'scale': got '1/0'"),
        ({"mean": "1,2"}, "'mean': got '1,2', expected three numbers"),
        ({"std": "1,0,1"}, "'std'.*above 0"),
        ({"resize": "shortest_side:800,799"}, "'resize': got 'shortest_side:800,799'"),
        ({"resize": "shortest_side:800,"}, "'resize': got 'shortest_side:800,'"),
        ({"resize": "longest_side:8,9"}, "'resize': got 'longest_side:8,9'"),
        ({"size_rounding": "up"}, "'size_rounding': got 'up', expected half_up"),
        ({"size_rounding": "mmcv", "resize": "stretch:8x8"}, "'size_rounding': got 'mmcv'"),
        ({"interpolation": "open_cv_bilinear"}, "did you mean 'opencv_bilinear'"),
        ({"normalise_first": "yes"}, "'normalise_first': got 'yes'"),
        ({"normalise_first": "true"}, "only torch_bilinear"),
        ({"required_multiple": "512"}, "'required_multiple': got '512', expected HxW"),
        ({"size_multiple": "0"}, "'size_multiple': got '0'"),
        (
            {"size_multiple": "32", "shape_policy": "pad", "buckets": "64x65"},
            "'buckets': got '64x65', expected multiples of size_multiple 32",
        ),
        ({"resize": "longest_side"}, "'resize': got 'longest_side', expected none"),
        ({"resize": "longest:320"}, "'resize'"),
        ({"resize": "stretch:320"}, "'resize'"),
        ({"resize": "none:3"}, "'resize'"),
        ({"resize": "longest_side:99999"}, "'resize'"),
        ({"interpolation": "bilinear"}, "did you mean"),
        ({"shape_policy": "padd"}, "did you mean 'pad'"),
        ({"shape_policy": "pad"}, "0 buckets: list them"),
        ({"buckets": "1x1"}, "drop buckets"),
        ({"shape_policy": "pad", "buckets": "1x"}, "'buckets': got '1x'"),
        ({"max_exact_buckets": "0"}, "'max_exact_buckets'"),
        ({"warm_sizes": "a"}, "'warm_sizes'"),
        ({"pad_value": "black"}, "'pad_value'"),
    ],
)
def test_bad_values_are_named(parameters: dict[str, str], names: str) -> None:
    with pytest.raises(LoadFailed, match=names):
        parse_input_rule(parameters)


def test_near_misses_of_keys_are_refused_and_strangers_left_alone() -> None:
    check_keys(dict.fromkeys(KEYS, "x"))
    check_keys({"intra_op_thread_count": "1", "session.x": "1", "cuda_fallback": "cpu"})
    with pytest.raises(LoadFailed, match="did you mean 'shape_policy'"):
        check_keys({"shape_polici": "pad"})


def test_palette() -> None:
    assert parse_palette({}) == ()
    assert parse_palette({"palette": "000000,FF8800"}) == ((0, 0, 0), (255, 136, 0))
    with pytest.raises(LoadFailed, match="'palette'"):
        parse_palette({"palette": "red"})
