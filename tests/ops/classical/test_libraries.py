"""Segmenters of libraries: they agree with ours on made pictures; what is missing is named."""

import numpy as np
import pytest

from segserve.core.errors import LoadFailed
from segserve.ops.classical import libraries
from segserve.ops.classical.catalogue import segmenter_named
from segserve.ops.classical.libraries import (
    LIBRARIES,
    OWN,
    Library,
    find_library,
    implementation_of,
    segment_by_library,
)
from segserve.ops.classical.options import with_values
from segserve.ops.classical.segmentation import Prompts

VALUES = {
    "mean_shift": {"colour": 20.0, "min_size_px": 50},
    "slic": {"segments": 60},
    "felzenszwalb": {"scale": 500.0, "min_size_px": 100},
    "random_walker": {},
    "graph_cut": {},
}
SEEDS = np.array([[5, 20, 3], [30, 20, 7], [55, 20, 9]], np.float32)


@pytest.mark.parametrize("name", LIBRARIES)
def test_they_find_what_ours_finds(name, three_levels, disc) -> None:
    pytest.importorskip(LIBRARIES[name].module)
    options = with_values(segmenter_named(name).options(), VALUES[name])
    image, truth = disc if name == "graph_cut" else three_levels
    prompts = Prompts(seeds=SEEDS) if name == "random_walker" else Prompts()
    labels = segment_by_library(name, image, options, prompts)
    assert labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    truth = truth.astype(int)
    purity = sum(np.bincount(truth[labels == k]).max() for k in range(labels.max() + 1))
    assert purity / truth.size > 0.95


@pytest.mark.parametrize("name", LIBRARIES)
def test_one_region_of_a_constant_image_and_any_size(name) -> None:
    pytest.importorskip(LIBRARIES[name].module)
    options = segmenter_named(name).options()
    assert not segment_by_library(name, np.full((1, 1, 3), 7, np.uint8), options, Prompts()).any()
    small = np.random.default_rng(0).integers(0, 255, (12, 13, 3), np.uint8)
    assert segment_by_library(name, small, options, Prompts()).shape == (12, 13)


def test_finding() -> None:
    assert find_library("slic", "own") is None
    with pytest.raises(LoadFailed, match=r"got 'opencv', expected own \| scikit-image"):
        find_library("slic", "opencv")
    with pytest.raises(LoadFailed, match=r"expected own$"):
        find_library("kmeans", "opencv")


def test_a_missing_library_says_how_to_get_it(monkeypatch) -> None:
    gone = {"slic": Library("scikit-image", "no_such_module", LIBRARIES["slic"].run)}
    monkeypatch.setattr(libraries, "LIBRARIES", gone)
    with pytest.raises(LoadFailed, match=r"pip install 'segserve\[classical\]'"):
        find_library("slic", "scikit-image")


def test_a_config_says_which() -> None:
    assert implementation_of({}) == implementation_of({"implementation": " "}) == OWN
    assert implementation_of({"implementation": " opencv "}) == "opencv"
