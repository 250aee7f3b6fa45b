"""Which requests are refined, how, and where the labels' logits lie."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput, LoadFailed
from segserve.core.options import OutputSize, Refine, SegmentOptions
from segserve.families.input_rule import KEYS as ALL_KEYS
from segserve.families.refinement import (
    KEYS,
    Refinement,
    Refines,
    parse_refinement,
    refined_labels,
)
from segserve.ops.argmax import NetworkGrid, upsample_argmax
from segserve.ops.crf import DenseCrfOptions

CRF = SegmentOptions(refine=Refine.DENSE_CRF)


def never() -> bool:
    return False


def test_a_blank_config_refines_nothing_with_deeplabs_values() -> None:
    refinement = parse_refinement({}, Refinement())
    assert refinement == Refinement(wanted=False, max_ms=1000.0, crf=DenseCrfOptions())
    assert refinement.chosen(SegmentOptions()) is None
    assert refinement.chosen(CRF) == refinement


def test_every_key_is_read() -> None:
    given = {
        "refine": "dense_crf",
        "crf_max_ms": "250",
        "crf_mode": "fast",
        "crf_iterations": "5",
        "crf_gaussian_sxy": "1",
        "crf_gaussian_compat": "0",
        "crf_bilateral_sxy": "49",
        "crf_bilateral_srgb": "5.5",
        "crf_bilateral_compat": "4",
    }
    assert set(given) == set(KEYS) <= set(ALL_KEYS)
    refinement = parse_refinement(given, Refinement())
    assert refinement == Refinement(
        wanted=True,
        max_ms=250.0,
        crf=DenseCrfOptions(5, 1.0, 0.0, 49.0, 5.5, 4.0, "fast"),
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("refine", "crf"),
        ("crf_mode", "slow"),
        ("crf_max_ms", "0"),
        ("crf_max_ms", "-5"),
        ("crf_iterations", "0"),
        ("crf_iterations", "1001"),
        ("crf_bilateral_srgb", "-1"),
        ("crf_gaussian_compat", "x"),
        ("crf_gaussian_compat", "1e7"),
        ("crf_bilateral_compat", "1e39"),
        ("crf_gaussian_sxy", "1e-320"),
        ("crf_iterations", "9" * 5000),
    ],
)
def test_values_that_do_not_read_are_named(key: str, value: str) -> None:
    with pytest.raises(LoadFailed, match=r"^config parameter '(crf|refine)"):
        parse_refinement({key: value}, Refinement())
    if key != "refine":
        options = SegmentOptions(refine=Refine.DENSE_CRF, parameters={key: value})
        with pytest.raises(InvalidInput, match=r"^parameter 'crf"):
            Refinement().chosen(options)


@pytest.mark.parametrize("rounds", ["0", "1001"])
def test_rounds_are_told_by_one_bound(rounds: str) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF, parameters={"crf_iterations": rounds})
    with pytest.raises(InvalidInput, match=rf"got '{rounds}', expected 1\.\.1000"):
        Refinement().chosen(options)


def test_a_request_says_otherwise_than_the_config() -> None:
    usual = Refinement(wanted=True, max_ms=90)
    assert usual.chosen(SegmentOptions(refine=Refine.NONE)) is None
    chosen = usual.chosen(SegmentOptions(parameters={"crf_mode": "exact"}))
    assert chosen == Refinement(wanted=True, max_ms=90, crf=DenseCrfOptions(mode="exact"))


def test_parameters_without_a_refinement_are_refused() -> None:
    with pytest.raises(InvalidInput, match="crf_mode: nothing is refined"):
        Refinement().chosen(SegmentOptions(parameters={"crf_mode": "exact"}))


def test_strides_are_refused() -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF, output_size=OutputSize.STRIDE)
    with pytest.raises(InvalidInput, match="output_size=stride"):
        Refinement().chosen(options)


def test_families_say_that_they_refine(semantic, instance) -> None:
    assert isinstance(semantic(), Refines)
    assert not isinstance(instance(), Refines)
    assert semantic().refine_budget_s(CRF) == 1.0
    assert semantic(crf_max_ms="50").refine_budget_s(CRF) == 0.05
    assert semantic().refine_budget_s(SegmentOptions()) is None
    assert semantic(refine="dense_crf").refine_budget_s(SegmentOptions()) == 1.0


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


@pytest.mark.parametrize("zero", ["0", "0.00", "00", ".0", "0."])
def test_no_weight_is_written_as_any_zero(zero: str) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF, parameters={"crf_gaussian_compat": zero})
    chosen = Refinement().chosen(options)
    assert chosen is not None
    assert chosen.crf.gaussian_compat == 0


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
