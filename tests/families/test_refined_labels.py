"""Refined labels, where the labels' logits lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.families.refined_labels import refined_labels
from segserve.families.refinement import Refinement, parse_refinement
from segserve.ops.argmax import NetworkGrid, upsample_argmax
from segserve.ops.crf import DenseCrfOptions


def never() -> bool:
    return False


@pytest.mark.parametrize("align_corners", [False, True])
def test_without_iterations_the_labels_are_those_of_the_map(*, align_corners: bool) -> None:
    logits = np.random.default_rng(4).normal(0, 3, (300, 9, 12)).astype(np.float32)
    grid = NetworkGrid(72, 96, 60, 90)
    pixels = np.zeros((41, 53, 3), np.uint8)
    still = DenseCrfOptions(iterations=0)
    labels = refined_labels(logits, pixels, grid, still, align_corners=align_corners, stop=never)
    wanted = upsample_argmax(logits, 41, 53, grid=grid, align_corners=align_corners)
    assert labels.dtype == wanted.dtype == np.uint16
    assert np.mean(labels == wanted) > 0.999


def test_labels_that_the_model_rules_out_are_not_chosen() -> None:
    logits = np.zeros((3, 5, 6), np.float32)
    logits[1, :, 3:] = 9
    logits[0, :, 3:] = -np.inf
    logits[2] = -np.inf
    pixels = np.zeros((40, 48, 3), np.uint8)
    pixels[:, 24:] = 200
    grid = NetworkGrid(40, 48, 40, 48)
    labels = refined_labels(
        logits, pixels, grid, DenseCrfOptions(), align_corners=False, stop=never
    )
    assert (labels[:, 30:] == 1).all()
    assert 2 not in labels


def test_of_many_labels_none_of_which_is_likely_the_likeliest_are_kept() -> None:
    logits = np.zeros((150, 6, 8), np.float32)
    logits[70, :, 4:], logits[20, :, :4] = 0.1, 0.1
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    labels = refined_labels(
        logits, pixels, NetworkGrid(6, 8, 6, 8), DenseCrfOptions(), align_corners=False, stop=never
    )
    assert set(labels[:, :4].ravel()) == {20}
    assert set(labels[:, 4:].ravel()) == {70}


def test_it_is_stopped() -> None:
    with pytest.raises(Cancelled):
        refined_labels(
            np.ones((2, 2, 2), np.float32),
            np.zeros((4, 4, 3), np.uint8),
            NetworkGrid(4, 4, 4, 4),
            DenseCrfOptions(),
            align_corners=False,
            stop=lambda: True,
        )


@pytest.mark.parametrize("mode", ["exact", "lazy", "fast"])
def test_what_agreement_earns_is_said_for_each_label_and_for_pairs(mode: str) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1, (4, 30, 40)).astype(np.float32)
    logits[1] = -50  # never likely, so left out: the others keep their numbers
    logits[2, 10:20, 10:30] += 2
    pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)

    def refined(text: str) -> npt.NDArray[np.uint8]:
        crf = parse_refinement({"crf_bilateral_compat": text, "crf_mode": mode}, Refinement()).crf
        grid = NetworkGrid(30, 40, 30, 40)
        labels = refined_labels(logits, pixels, grid, crf, align_corners=False, stop=never)
        return labels.astype(np.uint8)

    same = refined("6")
    assert (refined("6,6,6,6") == same).all()
    assert (refined("-6,0,0,0;0,-6,0,0;0,0,-6,0;0,0,0,-6") == same).all()
    favoured = refined("6,6,12,6")
    assert (favoured == 2).sum() > (same == 2).sum()
    swapped = refined("6,12,6,6")
    assert (swapped == same).all()


def test_compatibilities_of_another_number_of_labels_are_refused() -> None:
    crf = DenseCrfOptions(gaussian_compat=np.zeros(3, np.float32))
    pixels, grid = np.zeros((5, 6, 3), np.uint8), NetworkGrid(5, 6, 5, 6)
    with pytest.raises(InvalidInput, match="has 3 numbers, expected 1, 2 or 2 x 2"):
        refined_labels(
            np.zeros((2, 5, 6), np.float32), pixels, grid, crf, align_corners=False, stop=never
        )
