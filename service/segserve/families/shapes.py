"""Which size the network sees: the resize rule, then the policy for shapes. Pure arithmetic.

Libraries round the sides of a resized image in their own ways, and one pixel decides what a
network gives, so `SizeRounding` names them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

Size = tuple[int, int]

ROUND_UP_TO_PX = 32


class ResizeKind(Enum):
    """What happens to an image's size before the network."""

    NONE = "none"
    LONGEST_SIDE = "longest_side"
    SHORTEST_SIDE = "shortest_side"
    STRETCH = "stretch"


class SizeRounding(Enum):
    """How SHORTEST_SIDE turns a scale into whole pixels; `rounded_size` has the formulas."""

    HALF_UP = "half_up"
    FLOOR = "floor"
    TORCHVISION = "torchvision"
    DETECTRON2 = "detectron2"
    MMCV = "mmcv"


class ShapePolicy(Enum):
    """Which sizes may share a batch."""

    EXACT = "exact"
    PAD = "pad"
    RESIZE = "resize"


@dataclass(frozen=True)
class ResizeRule:
    """A size to bring images to.

    Parameters
    ----------
    kind : ResizeKind
    side_px : int
        For LONGEST_SIDE and SHORTEST_SIDE.
    size : (height, width)
        For STRETCH.
    cap_px : int
        For SHORTEST_SIDE: the longer side never exceeds this; 0 for no limit.
    rounding : SizeRounding
        For SHORTEST_SIDE.
    """

    kind: ResizeKind = ResizeKind.NONE
    side_px: int = 0
    size: Size = (0, 0)
    cap_px: int = 0
    rounding: SizeRounding = SizeRounding.HALF_UP


@dataclass(frozen=True)
class Placement:
    """Where an image comes to lie in the network's input.

    Parameters
    ----------
    network : (height, width)
        The network's input.
    content : (height, width)
        Its upper left part that the image fills; the rest is padding.
    """

    network: Size
    content: Size

    @property
    def padding_ratio(self) -> float:
        """Share of the network's input that is padding, in [0, 1)."""
        return 1 - (self.content[0] * self.content[1]) / (self.network[0] * self.network[1])


def target_size(rule: ResizeRule, source: Size) -> Size:
    """Give the size (height, width) an image has after the resize rule.

    Sides keep their ratio, rounded to whole pixels and never below 1; images smaller than the
    rule's side are enlarged.
    """
    match rule.kind:
        case ResizeKind.NONE:
            return source
        case ResizeKind.STRETCH:
            return rule.size
        case ResizeKind.LONGEST_SIDE:
            return _half_up(rule.side_px, max(source), source)
        case ResizeKind.SHORTEST_SIDE:
            height, width = rounded_size(rule, source)
            return max(1, height), max(1, width)


def rounded_size(rule: ResizeRule, source: Size) -> Size:
    """Bring the shorter side to ``side_px``, unless the longer one would exceed ``cap_px``.

    half_up: exact arithmetic, halves up. floor (torchvision's ``transforms.Resize``): the shorter
    side is exact, the other one cut. torchvision (``models/detection/transform.py``): both sides
    times the scale, cut, so that the shorter one may come out a pixel below. detectron2
    (``ResizeShortestEdge.get_output_shape``) and mmcv (``imrescale``): half a pixel is added, then
    cut; they differ in the order of the products. All but half_up in float64, as their sources.
    """
    short, long = min(source), max(source)
    side, cap = rule.side_px, rule.cap_px or math.inf
    match rule.rounding:
        case SizeRounding.HALF_UP:
            if long * side > cap * short:
                return _half_up(rule.cap_px, long, source)
            return _half_up(side, short, source)
        case SizeRounding.FLOOR:
            sides = _floor(side, cap, short, long)
        case SizeRounding.TORCHVISION:
            scale = min(side / short, cap / long)
            sides = (int(short * scale), int(long * scale))
        case SizeRounding.DETECTRON2:
            sides = _detectron2(side, cap, short, long)
        case SizeRounding.MMCV:
            scale = min(cap / long, side / short)
            sides = (int(short * scale + 0.5), int(long * scale + 0.5))
    return sides if source[0] <= source[1] else sides[::-1]


def _half_up(target_px: int, reference: int, source: Size) -> Size:
    height, width = (
        max(1, (2 * side * target_px + reference) // (2 * reference)) for side in source
    )
    return height, width


def _floor(side_px: int, cap_px: float, short: int, long: int) -> Size:
    cut = int(side_px * long / short)
    if cut > cap_px:
        return int(cap_px * side_px / cut), int(cap_px)
    return side_px, cut


def _detectron2(side_px: int, cap_px: float, short: int, long: int) -> Size:
    new_short, new_long = float(side_px), side_px / short * long
    if new_long > cap_px:
        scale = cap_px / new_long
        new_short, new_long = new_short * scale, new_long * scale
    return int(new_short + 0.5), int(new_long + 0.5)


def place(
    policy: ShapePolicy, buckets: tuple[Size, ...], target: Size, multiple: int = 1
) -> Placement:
    """Choose the network's size for an image that the resize rule brought to `target`.

    exact: the image as it is, padded up to multiples of `multiple`. pad: the smallest bucket, by
    area, that holds it; where none does, its own size rounded up to multiples of 32 (and of
    `multiple`). resize: stretched to the bucket whose aspect ratio is nearest (then the nearest
    area).
    """
    match policy:
        case ShapePolicy.EXACT:
            return Placement(rounded_up(target, multiple), target)
        case ShapePolicy.PAD:
            holding = [b for b in buckets if b[0] >= target[0] and b[1] >= target[1]]
            if not holding:
                return Placement(rounded_up(target, math.lcm(ROUND_UP_TO_PX, multiple)), target)
            return Placement(min(holding, key=lambda b: b[0] * b[1]), target)
        case ShapePolicy.RESIZE:
            nearest = min(buckets, key=lambda b: _distance(b, target))
            return Placement(nearest, nearest)


def rounded_up(size: Size, multiple: int) -> Size:
    """Round both sides up to multiples of `multiple`."""
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def _distance(bucket: Size, target: Size) -> tuple[float, float]:
    aspect = math.log(bucket[0] / bucket[1]) - math.log(target[0] / target[1])
    area = math.log(bucket[0] * bucket[1]) - math.log(target[0] * target[1])
    return round(abs(aspect), 9), abs(area)
