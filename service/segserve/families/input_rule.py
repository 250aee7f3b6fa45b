"""How images become a network's input, as a model's config parameters say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import Enum

from segserve.core.errors import LoadFailed
from segserve.families.parameter_values import (
    MAX_SIDE_PX,
    ParameterReader,
    colours,
    nearest,
    number,
    refuse,
    size,
    three_floats,
    whole,
)
from segserve.families.shapes import (
    ResizeKind,
    ResizeRule,
    ShapePolicy,
    Size,
    SizeRounding,
    rounded_up,
)
from segserve.families.suppression import KEYS as SUPPRESSION_KEYS
from segserve.ops.resize import Normalisation

KEYS = (
    "family",
    "channel_order",
    "scale",
    "mean",
    "std",
    "resize",
    "size_rounding",
    "interpolation",
    "normalise_first",
    "size_multiple",
    "max_network_pixels",
    "required_multiple",
    "shape_policy",
    "buckets",
    "max_exact_buckets",
    "warm_sizes",
    "pad_value",
    "image_input",
    "image_size_input",
    "image_size_of",
    "logits_output",
    "align_corners",
    "upsample",
    "output_grid",
    "ignore_ids",
    "thing_ids",
    "palette",
    "refine",
    "crf_max_ms",
    "crf_mode",
    "crf_iterations",
    "crf_gaussian_sxy",
    "crf_gaussian_compat",
    "crf_bilateral_sxy",
    "crf_bilateral_srgb",
    "crf_bilateral_compat",
    "score_threshold",
    "stuff_offset",
    "mask_rule",
    "mask_paste",
    "mask_threshold",
    *SUPPRESSION_KEYS,
    "segmenter",
    "max_side",
    "budget_ms",
    "implementation",
)
"""Every parameter that families read."""

_DEFAULT_MAX_EXACT_BUCKETS = 64
_DEFAULT_MAX_NETWORK_PIXELS = 1 << 24
_SIZES = ("content", "source")
_SURELY_MEANT = 0.8

_PadValue = tuple[float, float, float] | str
_MEAN: _PadValue = "mean"


class Interpolation(Enum):
    """Whose bilinear filter resizes images; see `segserve.ops.resize` and its neighbours."""

    PILLOW = "pillow_bilinear"
    OPENCV = "opencv_bilinear"
    TORCH = "torch_bilinear"
    FAST = "fast_bilinear"


@dataclass(frozen=True)
class InputRule:
    """Everything that happens to an image before the network.

    Parameters
    ----------
    normalisation : Normalisation
        Scale, mean, std, channel order and padding value.
    resize : ResizeRule
    interpolation : Interpolation
        PILLOW and OPENCV are bit-equal to them on uint8; TORCH is torch's on float32. FAST has no
        antialiasing, rounds nothing in between, and JPEGs may be decoded smaller.
    normalise_first : bool
        With TORCH: the resize sees normalised values (torchvision's detectors), else grey levels.
    size_multiple : int
        The network's sides are multiples of this; the rest is padding, right and below.
    max_network_pixels : int
        Pictures that would be larger for the network, its padding included, are refused: the memory
        of a run grows with them.
    required_multiple : (height, width)
        Pictures whose resized sides are no multiples of these are refused.
    tells_source_size : bool
        The input that takes the picture's size is told the source's, not that after resizing.
    shape_policy : ShapePolicy
    buckets : tuple of (height, width)
        For the policies pad and resize.
    max_exact_buckets : int
        Queues of different sizes that may be in use at a time.
    warm_sizes : tuple of (height, width)
        Sizes to run before the model is ready, beside the buckets.
    """

    normalisation: Normalisation = field(default_factory=Normalisation)
    resize: ResizeRule = field(default_factory=ResizeRule)
    interpolation: Interpolation = Interpolation.PILLOW
    normalise_first: bool = False
    size_multiple: int = 1
    max_network_pixels: int = _DEFAULT_MAX_NETWORK_PIXELS
    required_multiple: Size = (1, 1)
    tells_source_size: bool = False
    shape_policy: ShapePolicy = ShapePolicy.EXACT
    buckets: tuple[Size, ...] = ()
    max_exact_buckets: int = _DEFAULT_MAX_EXACT_BUCKETS
    warm_sizes: tuple[Size, ...] = ()

    @property
    def warm_shapes(self) -> tuple[Size, ...]:
        """Network sizes (height, width) to run before the model is ready."""
        exact = self.shape_policy is ShapePolicy.EXACT
        stretched = exact and self.resize.kind is ResizeKind.STRETCH
        own = (rounded_up(self.resize.size, self.size_multiple),) if stretched else ()
        return tuple(dict.fromkeys((*self.buckets, *own, *self.warm_sizes)))


def check_keys(parameters: Mapping[str, str]) -> None:
    """Refuse a key that is almost one of ours; others belong to somebody else.

    Raises
    ------
    LoadFailed
        Naming the key and the nearest known one.
    """
    for key in parameters:
        if key not in KEYS and get_close_matches(key, KEYS, n=1, cutoff=_SURELY_MEANT):
            raise LoadFailed(f"config parameter '{key}' is not known{nearest(key, KEYS)}")


def parse_input_rule(parameters: Mapping[str, str]) -> InputRule:
    """Read the input rule from a config's parameters.

    Raises
    ------
    LoadFailed
        Naming key, got, expected, and the nearest right value.
    """
    reader = ParameterReader(parameters)
    policy = ShapePolicy(reader.choice("shape_policy", [p.value for p in ShapePolicy], "exact"))
    interpolation = Interpolation(
        reader.choice("interpolation", [i.value for i in Interpolation], "pillow_bilinear")
    )
    multiple = reader.read("size_multiple", whole, "a whole number of at least 1", 1)
    return InputRule(
        normalisation=_normalisation(reader),
        resize=_resize(reader),
        interpolation=interpolation,
        normalise_first=_normalise_first(reader, interpolation),
        size_multiple=multiple,
        max_network_pixels=reader.read(
            "max_network_pixels", whole, "a whole number of at least 1", _DEFAULT_MAX_NETWORK_PIXELS
        ),
        required_multiple=reader.read("required_multiple", size, "HxW, e.g. 512x1024", (1, 1)),
        tells_source_size=reader.choice("image_size_of", _SIZES, _SIZES[0]) == _SIZES[1],
        shape_policy=policy,
        buckets=_buckets(reader, policy, multiple),
        max_exact_buckets=reader.read(
            "max_exact_buckets", whole, "a whole number of at least 1", _DEFAULT_MAX_EXACT_BUCKETS
        ),
        warm_sizes=reader.sizes("warm_sizes"),
    )


def _buckets(reader: ParameterReader, policy: ShapePolicy, multiple: int) -> tuple[Size, ...]:
    buckets = reader.sizes("buckets")
    if (policy is ShapePolicy.EXACT) == bool(buckets):
        fix = (
            "list them as HxW, e.g. 240x320,320x240"
            if policy is not ShapePolicy.EXACT
            else "set shape_policy to pad or resize, or drop buckets"
        )
        raise LoadFailed(
            f"config parameters 'shape_policy' and 'buckets': shape_policy '{policy.value}' with "
            f"{len(buckets)} buckets: {fix}"
        )
    for height, width in buckets:
        if (height, width) != rounded_up((height, width), multiple):
            raise refuse("buckets", f"{height}x{width}", f"multiples of size_multiple {multiple}")
    return buckets


def _normalise_first(reader: ParameterReader, interpolation: Interpolation) -> bool:
    first = reader.flag("normalise_first", default=False)
    if first and interpolation is not Interpolation.TORCH:
        expected = "false: only torch_bilinear resizes normalised values"
        raise refuse("normalise_first", "true", expected)
    return first


def _normalisation(reader: ParameterReader) -> Normalisation:
    scale = reader.read("scale", number, "a number or a fraction, e.g. 1/255", 1.0)
    std = reader.floats("std", (1.0, 1.0, 1.0))
    if min(std) <= 0:
        raise refuse("std", ",".join(map(str, std)), "three numbers above 0")
    bgr = reader.choice("channel_order", ("rgb", "bgr"), "rgb") == "bgr"
    expected = "'mean' or three grey levels r,g,b in 0..255"
    pad = reader.read("pad_value", _parse_pad, expected, _MEAN)
    return Normalisation(
        mean=reader.floats("mean", (0.0, 0.0, 0.0)),
        std=std,
        divisor=1 / scale,
        order=(2, 1, 0) if bgr else (0, 1, 2),
        pad=None if isinstance(pad, str) else (pad[::-1] if bgr else pad),
    )


def _parse_pad(text: str) -> _PadValue | None:
    return _MEAN if text == _MEAN else three_floats(text)


def _resize(reader: ParameterReader) -> ResizeRule:
    expected = "none | longest_side:N | shortest_side:N | shortest_side:N,MAX | stretch:HxW"
    rule = reader.read("resize", _parse_resize, expected, ResizeRule())
    rounding = SizeRounding(
        reader.choice("size_rounding", [r.value for r in SizeRounding], "half_up")
    )
    if rounding is not SizeRounding.HALF_UP and rule.kind is not ResizeKind.SHORTEST_SIDE:
        raise refuse("size_rounding", rounding.value, "half_up, unless resize is shortest_side")
    return replace(rule, rounding=rounding)


def _parse_resize(text: str) -> ResizeRule | None:
    kind, _, value = text.partition(":")
    if text == ResizeKind.NONE.value:
        return ResizeRule()
    if kind == ResizeKind.STRETCH.value:
        parsed = size(value)
        return None if parsed is None else ResizeRule(ResizeKind.STRETCH, size=parsed)
    if kind == ResizeKind.SHORTEST_SIDE.value:
        side, comma, cap = value.partition(",")
        return _sided(ResizeKind.SHORTEST_SIDE, side, cap if comma else None)
    return _sided(ResizeKind.LONGEST_SIDE, value) if kind == "longest_side" else None


def _sided(kind: ResizeKind, side_text: str, cap_text: str | None = None) -> ResizeRule | None:
    side = whole(side_text)
    cap = whole(cap_text) if cap_text is not None else MAX_SIDE_PX
    if side is None or cap is None or not side <= cap <= MAX_SIDE_PX:
        return None
    return ResizeRule(kind, side_px=side, cap_px=cap if cap_text is not None else 0)


def parse_palette(parameters: Mapping[str, str]) -> tuple[tuple[int, int, int], ...]:
    """Read the colours of labels 0, 1, ...; none by default.

    Raises
    ------
    LoadFailed
        When one is no hex colour.
    """
    reader = ParameterReader(parameters)
    return reader.read("palette", colours, "hex colours, e.g. 000000,ff8800", ())
