"""Which size the network sees: the resize rule, then the policy for shapes. Pure arithmetic."""

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
    """

    kind: ResizeKind = ResizeKind.NONE
    side_px: int = 0
    size: Size = (0, 0)


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

    Sides keep their ratio, rounded half up to whole pixels and never below 1; images smaller than
    the rule's side are enlarged.
    """
    match rule.kind:
        case ResizeKind.NONE:
            return source
        case ResizeKind.STRETCH:
            return rule.size
        case ResizeKind.LONGEST_SIDE:
            reference = max(source)
        case ResizeKind.SHORTEST_SIDE:
            reference = min(source)
    height, width = (
        max(1, (2 * side * rule.side_px + reference) // (2 * reference)) for side in source
    )
    return height, width


def place(policy: ShapePolicy, buckets: tuple[Size, ...], target: Size) -> Placement:
    """Choose the network's size for an image that the resize rule brought to `target`.

    exact: the image as it is. pad: the smallest bucket, by area, that holds it; where none does,
    its own size rounded up to multiples of 32. resize: stretched to the bucket whose aspect ratio
    is nearest (then the nearest area).
    """
    match policy:
        case ShapePolicy.EXACT:
            return Placement(target, target)
        case ShapePolicy.PAD:
            holding = [b for b in buckets if b[0] >= target[0] and b[1] >= target[1]]
            if not holding:
                height, width = (-(-side // ROUND_UP_TO_PX) * ROUND_UP_TO_PX for side in target)
                return Placement((height, width), target)
            return Placement(min(holding, key=lambda b: b[0] * b[1]), target)
        case ShapePolicy.RESIZE:
            nearest = min(buckets, key=lambda b: _distance(b, target))
            return Placement(nearest, nearest)


def _distance(bucket: Size, target: Size) -> tuple[float, float]:
    aspect = math.log(bucket[0] / bucket[1]) - math.log(target[0] / target[1])
    area = math.log(bucket[0] * bucket[1]) - math.log(target[0] * target[1])
    return round(abs(aspect), 9), abs(area)
