"""Options that no family can follow."""

import pytest

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.options import Refine, SegmentOptions
from segserve.families.option_checks import check_options


def test_good_options_pass() -> None:
    check_options(SegmentOptions(), None)
    check_options(SegmentOptions(score_threshold=0.0, top_k=0, min_area_px=0, label_ids=(0, 3)), 4)
    check_options(SegmentOptions(label_ids=(999,), refine=Refine.NONE), None)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (SegmentOptions(score_threshold=1.5), "score_threshold .* got 1.5"),
        (SegmentOptions(score_threshold=float("nan")), "got nan"),
        (SegmentOptions(top_k=-1), "top_k .* got -1"),
        (SegmentOptions(min_area_px=-5), "min_area_px .* got -5"),
        (SegmentOptions(label_ids=(1, 4)), r"0\.\.3, got 4"),
        (SegmentOptions(label_ids=(-1,)), "got -1"),
    ],
)
def test_bad_options_are_named(options: SegmentOptions, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        check_options(options, 4)


def test_models_without_logits_cannot_be_refined() -> None:
    with pytest.raises(Unsupported, match="refine=dense_crf is for semantic models"):
        check_options(SegmentOptions(refine=Refine.DENSE_CRF), 4)


def test_only_known_parameters_of_a_refinement_pass() -> None:
    names = ("crf_mode", "crf_max_ms")
    check_options(SegmentOptions(parameters={"crf_mode": "fast"}), 4, refine_parameters=names)
    check_options(SegmentOptions(refine=Refine.DENSE_CRF), 4, refine_parameters=names)
    with pytest.raises(InvalidInput, match="takes crf_mode, crf_max_ms: leave out clusters"):
        check_options(SegmentOptions(parameters={"clusters": "3"}), 4, refine_parameters=names)
    with pytest.raises(InvalidInput, match="takes no parameters: leave out crf_mode"):
        check_options(SegmentOptions(parameters={"crf_mode": "fast"}), 4)
