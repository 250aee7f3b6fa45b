"""Sizes typed out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.families.shapes import (
    Placement,
    ResizeKind,
    ResizeRule,
    ShapePolicy,
    place,
    target_size,
)

LONGEST = ResizeRule(ResizeKind.LONGEST_SIDE, side_px=320)
SHORTEST = ResizeRule(ResizeKind.SHORTEST_SIDE, side_px=320)
BUCKETS = ((240, 320), (320, 240), (320, 320))
SIDES = st.integers(1, 60_000)


@pytest.mark.parametrize(
    ("rule", "source", "want"),
    [
        (ResizeRule(), (375, 500), (375, 500)),
        (LONGEST, (375, 500), (240, 320)),
        (LONGEST, (500, 375), (320, 240)),
        (LONGEST, (400, 600), (213, 320)),
        (LONGEST, (100, 50), (320, 160)),
        (LONGEST, (60_000, 1), (320, 1)),
        (LONGEST, (1, 1), (320, 320)),
        (SHORTEST, (640, 960), (320, 480)),
        (SHORTEST, (3, 2), (480, 320)),
        (ResizeRule(ResizeKind.STRETCH, size=(513, 512)), (1, 9), (513, 512)),
    ],
)
def test_target_size(rule: ResizeRule, source: tuple[int, int], want: tuple[int, int]) -> None:
    assert target_size(rule, source) == want


def test_halves_round_up() -> None:
    assert target_size(ResizeRule(ResizeKind.LONGEST_SIDE, side_px=2), (4, 5)) == (2, 2)
    assert target_size(ResizeRule(ResizeKind.LONGEST_SIDE, side_px=5), (10, 3)) == (5, 2)


@pytest.mark.parametrize(
    ("policy", "target", "want"),
    [
        (ShapePolicy.EXACT, (375, 500), Placement((375, 500), (375, 500))),
        (ShapePolicy.PAD, (213, 320), Placement((240, 320), (213, 320))),
        (ShapePolicy.PAD, (320, 160), Placement((320, 240), (320, 160))),
        (ShapePolicy.PAD, (300, 300), Placement((320, 320), (300, 300))),
        (ShapePolicy.PAD, (321, 10), Placement((352, 32), (321, 10))),
        (ShapePolicy.RESIZE, (375, 500), Placement((240, 320), (240, 320))),
        (ShapePolicy.RESIZE, (500, 400), Placement((320, 240), (320, 240))),
        (ShapePolicy.RESIZE, (10, 10), Placement((320, 320), (320, 320))),
        (ShapePolicy.RESIZE, (9000, 1), Placement((320, 240), (320, 240))),
    ],
)
def test_place(policy: ShapePolicy, target: tuple[int, int], want: Placement) -> None:
    assert place(policy, BUCKETS, target) == want


def test_equal_aspects_take_the_nearest_area() -> None:
    buckets = ((100, 100), (400, 400))
    assert place(ShapePolicy.RESIZE, buckets, (390, 390)).network == (400, 400)
    assert place(ShapePolicy.RESIZE, buckets, (90, 110)).network == (100, 100)


def test_padding_ratio() -> None:
    assert Placement((10, 10), (10, 10)).padding_ratio == 0
    assert Placement((10, 20), (5, 20)).padding_ratio == 0.5


@given(SIDES, SIDES)
def test_every_image_fits_after_longest_side(height: int, width: int) -> None:
    placement = place(ShapePolicy.PAD, BUCKETS, target_size(LONGEST, (height, width)))
    assert placement.network in BUCKETS
    assert 1 <= placement.content[0] <= placement.network[0]
    assert 1 <= placement.content[1] <= placement.network[1]
    assert max(placement.content) == 320
