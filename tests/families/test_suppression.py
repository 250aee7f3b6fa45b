"""What a config says of the graph's suppression, and what is told of it."""

import json

import pytest

from segserve.core.errors import LoadFailed
from segserve.families.suppression import Suppression, SuppressionKind, parse_suppression


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (
            {"nms": "greedy", "nms_iou_threshold": "0.5"},
            {"type": "greedy", "iou_threshold": 0.5},
        ),
        (
            {
                "nms": "greedy",
                "nms_iou_threshold": "0.5",
                "nms_proposal_iou_threshold": "0.7",
            },
            {"type": "greedy", "iou_threshold": 0.5, "proposal_iou_threshold": 0.7},
        ),
        (
            {"nms": "fast_cross_class", "nms_iou_threshold": "0.6"},
            {"type": "fast_cross_class", "iou_threshold": 0.6},
        ),
        (
            {"nms": "matrix", "nms_kernel": "gaussian", "nms_sigma": "2.5"},
            {"type": "matrix", "kernel": "gaussian", "sigma": 2.5},
        ),
        ({"nms": "matrix", "nms_kernel": "linear"}, {"type": "matrix", "kernel": "linear"}),
        (
            {"nms": "matrix", "nms_kernel": "linear", "nms_points_window": "2"},
            {"type": "matrix", "kernel": "linear", "points_window": 2},
        ),
    ],
)
def test_what_is_declared_is_told(parameters, told) -> None:
    suppression = parse_suppression({"family": "instance", **parameters})
    assert suppression is not None
    assert json.loads(json.dumps(suppression.describe())) == told


def test_nothing_declared_is_nothing() -> None:
    assert parse_suppression({"family": "instance", "nms": " "}) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"nms_iou_threshold": "0.5"}, r"'nms' missing.*greedy \| fast"),
        ({"nms": "gredy", "nms_iou_threshold": "0.5"}, "did you mean 'greedy'"),
        ({"nms": "greedy"}, "'nms_iou_threshold' missing"),
        ({"nms": "fast", "nms_iou_threshold": "1.5"}, "'1.5', expected a number above 0"),
        ({"nms": "fast", "nms_iou_threshold": "0"}, "'0', expected a number above 0"),
        ({"nms": "fast", "nms_iou_threshold": "0.5", "nms_sigma": "2"}, "nms_sigma.*leave"),
        (
            {"nms": "greedy", "nms_iou_threshold": "0.5", "nms_proposal_iou_threshold": "2"},
            "nms_proposal_iou_threshold': got '2'",
        ),
        (
            {"nms": "matrix", "nms_kernel": "linear", "nms_proposal_iou_threshold": "0.7"},
            "leave them out",
        ),
        ({"nms": "matrix"}, "'nms_kernel' missing"),
        (
            {"nms": "matrix", "nms_kernel": "linear", "nms_points_window": "1"},
            "'1', expected a whole number from 2",
        ),
        (
            {"nms": "greedy", "nms_iou_threshold": "0.5", "nms_points_window": "2"},
            "nms_points_window.*leave",
        ),
        ({"nms": "matrix", "nms_kernel": "linear", "nms_iou_threshold": "0.5"}, "leave them out"),
        ({"nms": "matrix", "nms_kernel": "gaussian"}, "gaussian with 'nms_sigma'"),
        ({"nms": "matrix", "nms_kernel": "linear", "nms_sigma": "2"}, "or linear without"),
        ({"nms": "matrix", "nms_kernel": "gaussian", "nms_sigma": "-1"}, "'-1', expected"),
        ({"nms": "matrix", "nms_kernel": "box"}, r"gaussian \| linear"),
    ],
)
def test_what_does_not_fit_is_refused(parameters, message) -> None:
    with pytest.raises(LoadFailed, match=message):
        parse_suppression(parameters)


def test_figures_that_a_kind_does_not_have_are_not_told() -> None:
    assert Suppression(SuppressionKind.GREEDY).describe() == {"type": "greedy"}
