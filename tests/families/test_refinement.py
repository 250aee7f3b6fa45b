"""Which requests are refined, how, and where the labels' logits lie."""

from __future__ import annotations

import pytest

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.core.options import OutputSize, Refine, SegmentOptions
from segserve.families.input_rule import KEYS as ALL_KEYS
from segserve.families.refinement import (
    KEYS,
    Refinement,
    Refines,
    parse_refinement,
)
from segserve.ops.crf import DenseCrfOptions

CRF = SegmentOptions(refine=Refine.DENSE_CRF)


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


def test_compatibilities_of_labels_fit_the_model(semantic, photo) -> None:
    with pytest.raises(LoadFailed, match=r"'crf_.*has 2 numbers, expected 1, 4 or 4 x 4"):
        semantic(crf_gaussian_compat="1,2")
    assert semantic(crf_gaussian_compat="1,2,3,4")
    options = SegmentOptions(
        refine=Refine.DENSE_CRF, parameters={"crf_bilateral_compat": "0,1;1,0"}
    )
    with pytest.raises(InvalidInput, match=r"has 2 x 2 numbers, .*: the model has 4 labels"):
        semantic().plan(photo(), options)


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


@pytest.mark.parametrize("zero", ["0", "0.00", "00", ".0", "0."])
def test_no_weight_is_written_as_any_zero(zero: str) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF, parameters={"crf_gaussian_compat": zero})
    chosen = Refinement().chosen(options)
    assert chosen is not None
    assert chosen.crf.gaussian_compat == 0
