"""Prompts: typed and as text, to the same tensors, in pixels of the smaller image."""

import pytest

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.options import SegmentOptions
from segserve.core.prompts import Point, Prompt
from segserve.core.regions import Rle
from segserve.families.prompt_tensors import prompt_tensors

HALF = (0.5, 0.25)


def tensors(takes, *prompts, **parameters):
    found = prompt_tensors(SegmentOptions(prompts=prompts, parameters=parameters), takes, HALF)
    return {name: array.tolist() for name, array in found.items()}


def test_a_box_is_scaled() -> None:
    want = {"box": [5, 5, 50, 20]}
    assert tensors(("box",), Prompt(box=(10, 20, 100, 80))) == want
    assert tensors(("box",), box="10,20, 100,80") == want


def test_points_are_seeds_labelled_by_their_prompt() -> None:
    first = Prompt(points=(Point(10, 20), Point(30, 40, inside=False)))
    second = Prompt(points=(Point(50, 60),))
    want = {"seeds": [[5, 5, 1], [15, 10, 0], [25, 15, 2]]}
    assert tensors(("seeds",), first, second) == want
    assert tensors(("seeds",), seeds="10,20,1;30,40,0;50,60,2;") == want


def test_points_are_vertices_where_a_contour_is_taken() -> None:
    prompt = Prompt(points=(Point(0, 0), Point(10, 0), Point(10, 20)))
    want = {"contour": [[0, 0], [5, 0], [5, 5]]}
    assert tensors(("box", "contour"), prompt) == want
    assert tensors(("box", "contour"), contour="0,0;10,0;10,20") == want


def test_nothing_given_is_nothing() -> None:
    assert tensors(("box", "seeds")) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("box", "1,2,3"),
        ("box", "1,2,3,4;5,6,7,8"),
        ("box", "a,b,c,d"),
        ("box", "1,2,3,inf"),
        ("seeds", "1,2"),
        ("contour", "1,2;3,4"),
        ("contour", "1,2;3,4,5;6,7"),
        ("seeds", ""),
    ],
)
def test_broken_text_names_what_is_expected(name, text) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}' must"):
        tensors((name,), **{name: text})


def test_what_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(Unsupported, match="'box' cannot be used"):
        tensors(("seeds",), Prompt(box=(0, 0, 1, 1)))
    with pytest.raises(Unsupported, match="one box, got 2"):
        tensors(("box",), Prompt(box=(0, 0, 1, 1)), Prompt(box=(0, 0, 1, 1)))
    with pytest.raises(Unsupported, match="given twice"):
        tensors(("box",), Prompt(box=(0, 0, 1, 1)), box="0,0,1,1")
    with pytest.raises(Unsupported, match="masks as prompts"):
        tensors(("box",), Prompt(mask=Rle(1, 1, b"01")))
