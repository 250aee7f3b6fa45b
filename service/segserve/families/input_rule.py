"""How images become a network's input, as a model's config parameters say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

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
from segserve.families.shapes import ResizeKind, ResizeRule, ShapePolicy, Size
from segserve.ops.resize import Normalisation

KEYS = (
    "family",
    "channel_order",
    "scale",
    "mean",
    "std",
    "resize",
    "interpolation",
    "shape_policy",
    "buckets",
    "max_exact_buckets",
    "warm_sizes",
    "pad_value",
    "image_input",
    "logits_output",
    "align_corners",
    "ignore_ids",
    "thing_ids",
    "palette",
    "score_threshold",
    "mask_rule",
    "mask_threshold",
)
"""Every parameter that families read."""

_DEFAULT_MAX_EXACT_BUCKETS = 64
_SURELY_MEANT = 0.8

_PadValue = tuple[float, float, float] | str
_MEAN: _PadValue = "mean"


@dataclass(frozen=True)
class InputRule:
    """Everything that happens to an image before the network.

    Parameters
    ----------
    normalisation : Normalisation
        Scale, mean, std, channel order and padding value.
    resize : ResizeRule
    fast : bool
        ``fast_bilinear`` (without antialiasing, fused, JPEGs may be decoded smaller) in place of
        Pillow's own bilinear filter.
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
    fast: bool = False
    shape_policy: ShapePolicy = ShapePolicy.EXACT
    buckets: tuple[Size, ...] = ()
    max_exact_buckets: int = _DEFAULT_MAX_EXACT_BUCKETS
    warm_sizes: tuple[Size, ...] = ()

    @property
    def warm_shapes(self) -> tuple[Size, ...]:
        """Network sizes (height, width) to run before the model is ready."""
        stretched = (self.resize.size,) if self.resize.kind is ResizeKind.STRETCH else ()
        if self.shape_policy is not ShapePolicy.EXACT:
            stretched = ()
        return tuple(dict.fromkeys((*self.buckets, *stretched, *self.warm_sizes)))


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
    return InputRule(
        normalisation=_normalisation(reader),
        resize=_resize(reader),
        fast=_fast(reader),
        shape_policy=policy,
        buckets=buckets,
        max_exact_buckets=reader.read(
            "max_exact_buckets", whole, "a whole number of at least 1", _DEFAULT_MAX_EXACT_BUCKETS
        ),
        warm_sizes=reader.sizes("warm_sizes"),
    )


def _fast(reader: ParameterReader) -> bool:
    choices = ("pillow_bilinear", "fast_bilinear")
    return reader.choice("interpolation", choices, choices[0]) == "fast_bilinear"


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
    expected = "none | longest_side:N | shortest_side:N | stretch:HxW"
    return reader.read("resize", _parse_resize, expected, ResizeRule())


def _parse_resize(text: str) -> ResizeRule | None:
    kind, _, value = text.partition(":")
    if text == ResizeKind.NONE.value:
        return ResizeRule()
    if kind == ResizeKind.STRETCH.value:
        parsed = size(value)
        return None if parsed is None else ResizeRule(ResizeKind.STRETCH, size=parsed)
    side = whole(value)
    if side is None or side > MAX_SIDE_PX:
        return None
    by_name = {k.value: k for k in (ResizeKind.LONGEST_SIDE, ResizeKind.SHORTEST_SIDE)}
    return ResizeRule(by_name[kind], side_px=side) if kind in by_name else None


def parse_palette(parameters: Mapping[str, str]) -> tuple[tuple[int, int, int], ...]:
    """Read the colours of labels 0, 1, ...; none by default.

    Raises
    ------
    LoadFailed
        When one is no hex colour.
    """
    reader = ParameterReader(parameters)
    return reader.read("palette", colours, "hex colours, e.g. 000000,ff8800", ())
