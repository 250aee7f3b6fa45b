"""What a detector's graph does against double detections: declared at export, reported here.

Nothing here runs. The suppression is in the graph and cannot be changed by a request; the model's
metadata tells which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from segserve.core.errors import LoadFailed
from segserve.families.parameter_values import ParameterReader, number, refuse, whole

_PROPOSALS = "nms_proposal_iou_threshold"
_POINTS = "nms_points_window"
KEYS = ("nms", "nms_iou_threshold", _PROPOSALS, "nms_kernel", "nms_sigma", _POINTS)
"""The config parameters that declare it."""

_KERNELS = ("gaussian", "linear")


class SuppressionKind(Enum):
    """How detections that overlap are thinned out.

    GREEDY is the classic: best first, within a class, what overlaps a kept one falls. FAST is
    YOLACT's: what overlaps any better one falls, within a class; FAST_CROSS_CLASS compares all
    classes. MATRIX is SOLO's: scores decay with the overlap of masks, and nothing falls by it.
    """

    GREEDY = "greedy"
    FAST = "fast"
    FAST_CROSS_CLASS = "fast_cross_class"
    MATRIX = "matrix"


@dataclass(frozen=True)
class Suppression:
    """One suppression with its figures.

    Parameters
    ----------
    kind : SuppressionKind
    iou_threshold : float in (0, 1], or None
        A detection falls when it overlaps a better one by more; None with MATRIX.
    proposal_iou_threshold : float in (0, 1], or None
        Of two-stage detectors: the same for the region proposals that detections are made from.
    kernel : {"gaussian", "linear"} or None
        Of MATRIX: how scores decay; None with the others.
    sigma : float above 0, or None
        Of the Gaussian: ``exp(-sigma * iou**2)``.
    points_window : int of 2 or more, or None
        Of MATRIX with points NMS before it: a cell's score falls when one of the cells in such a
        window, up and to the left of it, has a higher one of the same class.
    """

    kind: SuppressionKind
    iou_threshold: float | None = None
    proposal_iou_threshold: float | None = None
    kernel: str | None = None
    sigma: float | None = None
    points_window: int | None = None

    def describe(self) -> dict[str, object]:
        """Tell the figures that this kind has, in values that JSON has."""
        figures = {
            "type": self.kind.value,
            "iou_threshold": self.iou_threshold,
            "proposal_iou_threshold": self.proposal_iou_threshold,
            "kernel": self.kernel,
            "sigma": self.sigma,
            "points_window": self.points_window,
        }
        return {name: value for name, value in figures.items() if value is not None}


def parse_suppression(parameters: Mapping[str, str]) -> Suppression | None:
    """Read what a config declares; None when it declares none.

    Raises
    ------
    LoadFailed
        When a value does not read, or a figure is missing or belongs to another kind.
    """
    reader = ParameterReader(parameters)
    given = {key for key in KEYS if parameters.get(key, "").strip()}
    if not given:
        return None
    if "nms" not in given:
        raise LoadFailed(
            f"config parameter 'nms' missing beside {sorted(given)}: set it to "
            f"{' | '.join(kind.value for kind in SuppressionKind)}"
        )
    kind = SuppressionKind(reader.choice("nms", [k.value for k in SuppressionKind], ""))
    if kind is SuppressionKind.MATRIX:
        _check_given(
            given, "matrix", needed="nms_kernel", foreign=("nms_iou_threshold", _PROPOSALS)
        )
        return _matrix(reader, given)
    _check_given(
        given, kind.value, needed="nms_iou_threshold", foreign=("nms_kernel", "nms_sigma", _POINTS)
    )
    expected = "a number above 0, at most 1"
    return Suppression(
        kind,
        iou_threshold=reader.read("nms_iou_threshold", _share, expected, 0.5),
        proposal_iou_threshold=reader.read(_PROPOSALS, _share, expected, 0.7)
        if _PROPOSALS in given
        else None,
    )


def _matrix(reader: ParameterReader, given: set[str]) -> Suppression:
    kernel = reader.choice("nms_kernel", _KERNELS, "")
    is_gaussian = kernel == "gaussian"
    if is_gaussian != ("nms_sigma" in given):
        raise refuse("nms_kernel", kernel, "gaussian with 'nms_sigma', or linear without")
    sigma = reader.read("nms_sigma", _positive, "a number above 0", 2.0) if is_gaussian else None
    window = reader.read(_POINTS, _window, "a whole number from 2", 2) if _POINTS in given else None
    return Suppression(SuppressionKind.MATRIX, kernel=kernel, sigma=sigma, points_window=window)


def _check_given(given: set[str], kind: str, *, needed: str, foreign: tuple[str, ...]) -> None:
    if needed not in given:
        raise LoadFailed(f"config parameter '{needed}' missing: 'nms' {kind} has one")
    wrong = sorted(given.intersection(foreign))
    if wrong:
        raise LoadFailed(f"config parameters {wrong}: 'nms' {kind} has none, leave them out")


def _share(text: str) -> float | None:
    value = _positive(text)
    return value if value is not None and value <= 1 else None


def _window(text: str) -> int | None:
    value = whole(text)
    return value if value is not None and value > 1 else None


def _positive(text: str) -> float | None:
    value = number(text)
    return value if value is not None and value > 0 else None
