"""Options: bounds, words and numbers, both ways."""

from dataclasses import dataclass

import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.classical.options import checked, choice, real, specs_of, whole, with_values


@dataclass(frozen=True)
class Sample:
    kind: str = choice(("round", "square"), "shape")
    count: int = whole(3, 1, 9, "how many")
    weight: float = real(0.5, 0, 2, "how heavy")


def test_specs_are_in_order_and_hold_defaults() -> None:
    assert [(s.name, s.default) for s in specs_of(Sample)] == [
        ("kind", "round"),
        ("count", 3),
        ("weight", 0.5),
    ]


@pytest.mark.parametrize(
    ("index", "text", "value"), [(0, " square ", "square"), (1, "9", 9), (2, "1e-1", 0.1)]
)
def test_text_reads(index, text, value) -> None:
    spec = specs_of(Sample)[index]
    assert spec.from_text(text) == value
    assert spec.from_number(spec.to_number(value)) == value


@pytest.mark.parametrize(
    ("index", "text"),
    [(0, "oval"), (1, "0"), (1, "10"), (1, "2.5"), (1, "many"), (2, "-1"), (2, "nan"), (1, "inf")],
)
def test_wrong_text_names_option_and_bounds(index, text) -> None:
    spec = specs_of(Sample)[index]
    with pytest.raises(InvalidInput, match=f"option '{spec.name}' must be .*got"):
        spec.from_text(text)


def test_an_index_beyond_the_words_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"round \| square, got 2"):
        specs_of(Sample)[0].from_number(2)


def test_values_replace_and_are_checked() -> None:
    assert with_values(Sample(), {"count": 5}) == Sample(count=5)
    with pytest.raises(InvalidInput, match="from 1 to 9, got 12"):
        with_values(Sample(), {"count": 12})
    with pytest.raises(InvalidInput, match="weight"):
        checked(Sample(weight=3.0))
