"""What holds for every segmenter, by name."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput, LoadFailed
from segserve.ops.classical.catalogue import SEGMENTERS, segmenter_named
from segserve.ops.classical.segmentation import Prompts, never

NAMES = tuple(SEGMENTERS)
SHAPES = [(1, 1, 3), (1, 7, 3), (9, 1, 3), (12, 10, 3)]


def run(name, image, stop=never, prompts=None):
    segmenter = segmenter_named(name)
    return segmenter.segment(image, segmenter.options(), prompts or Prompts(), stop)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_image_is_one_region(name, shape) -> None:
    found = run(name, np.full(shape, 90, np.uint8))
    assert found.labels.shape == shape[:2]
    assert not found.labels.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 1, 3), (3, 3, 3), (1, 40, 3), (17, 23, 3)])
def test_any_size_is_segmented_and_labels_are_consecutive(name, shape) -> None:
    image = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    found = run(name, image)
    assert found.labels.dtype == np.int32
    assert np.array_equal(np.unique(found.labels), np.arange(found.labels.max() + 1))
    for output in SEGMENTERS[name].outputs:
        assert getattr(found, output) is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_gives_the_same_answer(name, noise) -> None:
    first, second = run(name, noise), run(name, noise[:, ::-1][:, ::-1])
    for output in SEGMENTERS[name].outputs:
        assert np.array_equal(getattr(first, output), getattr(second, output))


@pytest.mark.parametrize("name", NAMES)
def test_it_stops_when_asked(name, noise) -> None:
    with pytest.raises(Cancelled):
        run(name, noise, stop=lambda: True)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_of_others_are_refused(name, noise) -> None:
    others = {"box", "seeds", "contour"} - set(SEGMENTERS[name].prompts)
    for prompt in others:
        with pytest.raises(InvalidInput, match="prompt"):
            run(name, noise, prompts=Prompts(**{prompt: np.ones((4,), np.float32)}))


def test_options_are_read_from_text_and_others_left_alone() -> None:
    assert segmenter_named("kmeans").read_options({"clusters": "7", "family": "x"}) == {
        "clusters": 7
    }


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(LoadFailed, match="got 'nope', expected one of kmeans, "):
        segmenter_named("nope")


@pytest.mark.parametrize("name", NAMES)
def test_tensors_have_names_of_their_own(name) -> None:
    segmenter = SEGMENTERS[name]
    names = ["image", *segmenter.prompts, *(spec.name for spec in segmenter.specs)]
    assert len(set(names)) == len(names)
