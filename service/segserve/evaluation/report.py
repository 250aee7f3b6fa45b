"""Figures as a table for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite

import numpy as np
import numpy.typing as npt

from segserve.evaluation.measure import InstanceReport, PanopticReport, SemanticReport

Report = SemanticReport | InstanceReport | PanopticReport
_COLUMNS = {
    "iou": "IoU",
    "boundary_iou": "boundary",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "dice": "Dice",
}
_MEANS = {
    "mean_iou": "mean IoU",
    "mean_boundary_iou": "mean boundary IoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_pixel_accuracy": "mean pixel accuracy",
    "mean_precision": "mean precision",
    "mean_recall": "mean recall",
    "mean_f1": "mean F1",
    "mean_dice": "mean Dice",
}
_AP_ROWS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "AP small": "ap_small",
    "AP medium": "ap_medium",
    "AP large": "ap_large",
    "AR 1": "ar_1",
    "AR 10": "ar_10",
    "AR 100": "ar_100",
    "AR small": "ar_small",
    "AR medium": "ar_medium",
    "AR large": "ar_large",
}


def as_values(report: Report, names: Mapping[int, str]) -> dict[str, object]:
    """Give a report as JSON has it.

    Parameters
    ----------
    report : Report
    names : Mapping of int to str
        Of the classes of a semantic report, of the categories of an instance report.

    Returns
    -------
    dict
        Figures in [0, 1]; None where there is nothing to measure.
    """
    if isinstance(report, SemanticReport):
        return _semantic_values(report, names)
    if isinstance(report, PanopticReport):
        return asdict(report)
    kinds = {"box": report.box, "mask": report.mask}
    return {
        kind: {
            **{name: _number(getattr(scores, name)) for name in _AP_ROWS.values()},
            "by_category": {names[c]: ap for c, ap in scores.by_category.items()},
        }
        for kind, scores in kinds.items()
    }


def _semantic_values(report: SemanticReport, names: Mapping[int, str]) -> dict[str, object]:
    columns = _columns(report)
    classes: dict[str, object] = {
        name: {key: _number(float(column[n])) for key, column in columns.items()}
        for n, name in names.items()
    }
    return {**_means(report), "classes": classes}


def _columns(report: SemanticReport) -> dict[str, npt.NDArray[np.float64]]:
    """Give the figures of each class [C], by the keys of `_COLUMNS`."""
    scores = report.scores
    return {
        "iou": scores.iou,
        "boundary_iou": report.boundary_iou,
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "dice": scores.dice,  # the same numbers as F1: both are 2 TP / (2 TP + FP + FN)
    }


def _means(report: SemanticReport) -> dict[str, float]:
    """Give the figures of all classes together, by the keys of `_MEANS`."""
    scores = report.scores
    return {
        "mean_iou": scores.mean_iou,
        "mean_boundary_iou": report.mean_boundary_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_pixel_accuracy": scores.mean_pixel_accuracy,
        **{
            f"mean_{key}": _mean(getattr(scores, key), scores.iou)
            for key in ("precision", "recall", "f1", "dice")
        },
    }


def _mean(values: npt.NDArray[np.float64], iou: npt.NDArray[np.float64]) -> float:
    """Average over the classes that mean IoU is over, 0 when there are none.

    Precision of a class that is never predicted is no number, nor is recall of one that is only
    predicted; nothing of either was found, so they count as 0, as their IoU does.
    """
    occurs = np.isfinite(iou)
    return float(np.nan_to_num(values[occurs], nan=0.0).mean()) if occurs.any() else 0.0


def _number(value: float) -> float | None:
    return value if isfinite(value) and value >= 0 else None


def as_table(report: Report, names: Mapping[int, str]) -> str:
    """Give a report as lines of text; parameters as for `as_values`."""
    if isinstance(report, SemanticReport):
        return "\n".join(_semantic_lines(report, names))
    if isinstance(report, PanopticReport):
        rows = {"all": report.everything, "things": report.things, "stuff": report.stuff}
        lines = [_row("", ["PQ", "SQ", "RQ", "categories"], 6)]
        for name, q in rows.items():
            lines.append(_row(name, [*_figures([q.pq, q.sq, q.rq]), str(q.categories)], 6))
        return "\n".join(lines)
    lines = [_row("", ["box", "mask"], 9)]
    for title, field in _AP_ROWS.items():
        pair = [getattr(scores, field) for scores in (report.box, report.mask)]
        lines.append(_row(title, _figures(pair), 9))
    return "\n".join(lines)


def _semantic_lines(report: SemanticReport, names: Mapping[int, str]) -> list[str]:
    width = max(len(name) for name in (*names.values(), "class"))
    columns = _columns(report)
    lines = [_row("class", [_COLUMNS[key] for key in columns], width)]
    for n, name in names.items():
        figures = [float(column[n]) for column in columns.values()]
        lines.append(_row(name, _figures(figures), width))
    return [*lines, *(f"{_MEANS[key]:20} {value:.4f}" for key, value in _means(report).items())]


def _figures(values: Sequence[float]) -> list[str]:
    return ["-" if _number(value) is None else f"{value:.4f}" for value in values]


def _row(title: str, cells: Sequence[str], width: int) -> str:
    return " ".join([f"{title:{width}}", *(f"{cell:>10}" for cell in cells)])
