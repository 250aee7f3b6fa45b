"""Sizes typed out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.families.shapes import (
    Placement,
    ResizeKind,
    ResizeRule,
    ShapePolicy,
    SizeRounding,
    place,
    rounded_up,
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


def shortest(side: int, cap: int, rounding: str) -> ResizeRule:
    return ResizeRule(
        ResizeKind.SHORTEST_SIDE, side_px=side, cap_px=cap, rounding=SizeRounding(rounding)
    )


@pytest.mark.parametrize(
    ("rule", "source", "want"),
    [
        # What the goldens' official programs made of a 375x500 picture.
        (shortest(800, 1333, "torchvision"), (375, 500), (800, 1066)),
        (shortest(800, 1333, "detectron2"), (375, 500), (800, 1067)),
        (shortest(800, 1333, "mmcv"), (375, 500), (800, 1067)),
        (shortest(520, 0, "floor"), (375, 500), (520, 693)),
        (shortest(1024, 2048, "detectron2"), (375, 500), (1024, 1365)),
        (shortest(1024, 2048, "detectron2"), (375, 750), (1024, 2048)),
        # The same lying on its side, and one that meets the cap.
        (shortest(800, 1333, "torchvision"), (500, 375), (1066, 800)),
        (shortest(800, 1333, "torchvision"), (1080, 1920), (749, 1333)),
        (shortest(800, 1333, "detectron2"), (1080, 1920), (750, 1333)),
        (shortest(800, 1333, "mmcv"), (1080, 1920), (750, 1333)),
        (shortest(800, 1333, "half_up"), (1080, 1920), (750, 1333)),
        (shortest(520, 600, "floor"), (375, 500), (450, 600)),
        (shortest(800, 1333, "detectron2"), (1, 9000), (1, 1333)),
        (shortest(800, 1333, "torchvision"), (1, 9000), (1, 1333)),
        # 800 / 161 * 161 is below 800 in float64, and torchvision's sides are cut.
        (shortest(800, 1333, "torchvision"), (161, 161), (799, 799)),
    ],
)
def test_official_sizes(rule: ResizeRule, source: tuple[int, int], want: tuple[int, int]) -> None:
    assert target_size(rule, source) == want


@pytest.mark.parametrize("rounding", list(SizeRounding))
def test_square_and_tiny_sources(rounding: SizeRounding) -> None:
    rule = shortest(8, 13, rounding.value)
    assert target_size(rule, (8, 8)) == (8, 8)
    assert target_size(rule, (1, 1)) == (8, 8)
    assert target_size(rule, (60_000, 1)) == (13, 1)


@given(st.sampled_from(list(SizeRounding)), SIDES, SIDES)
def test_the_cap_holds_and_sides_turn_with_the_picture(
    rounding: SizeRounding, height: int, width: int
) -> None:
    rule = shortest(800, 1333, rounding.value)
    got = target_size(rule, (height, width))
    assert max(got) <= 1333
    assert min(got) <= 800
    assert target_size(rule, (width, height)) == got[::-1]


def test_padding_to_a_multiple() -> None:
    assert place(ShapePolicy.EXACT, (), (800, 1067), 32) == Placement((800, 1088), (800, 1067))
    assert place(ShapePolicy.PAD, ((8, 8),), (33, 9), 48) == Placement((96, 96), (33, 9))
    assert rounded_up((1, 64), 32) == (32, 64)


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
