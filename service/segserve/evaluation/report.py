"""Figures as a table for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite

from segserve.evaluation.measure import InstanceReport, PanopticReport, SemanticReport

Report = SemanticReport | InstanceReport | PanopticReport
_COLUMNS = ("IoU", "boundary", "precision", "recall", "F1")
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
    scores = report.scores
    columns = (scores.iou, report.boundary_iou, scores.precision, scores.recall, scores.f1)
    keys = ("iou", "boundary_iou", "precision", "recall", "f1")
    classes: dict[str, object] = {
        name: {key: _number(float(column[n])) for key, column in zip(keys, columns, strict=True)}
        for n, name in names.items()
    }
    return {
        "mean_iou": scores.mean_iou,
        "mean_boundary_iou": report.mean_boundary_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_pixel_accuracy": scores.mean_pixel_accuracy,
        "classes": classes,
    }


def _number(value: float) -> float | None:
    return value if isfinite(value) and value >= 0 else None


def as_table(report: Report, names: Mapping[int, str]) -> str:
    """Give a report as lines of text; parameters as for `as_values`. Dice of label maps is F1."""
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
    scores = report.scores
    width = max(len(name) for name in (*names.values(), "class"))
    columns = (scores.iou, report.boundary_iou, scores.precision, scores.recall, scores.f1)
    lines = [_row("class", _COLUMNS, width)]
    for n, name in names.items():
        lines.append(_row(name, _figures([float(column[n]) for column in columns]), width))
    figures = {
        "mean IoU": scores.mean_iou,
        "mean boundary IoU": report.mean_boundary_iou,
        "pixel accuracy": scores.pixel_accuracy,
        "mean pixel accuracy": scores.mean_pixel_accuracy,
    }
    return [*lines, *(f"{name:20} {value:.4f}" for name, value in figures.items())]


def _figures(values: Sequence[float]) -> list[str]:
    return ["-" if _number(value) is None else f"{value:.4f}" for value in values]


def _row(title: str, cells: Sequence[str], width: int) -> str:
    return " ".join([f"{title:{width}}", *(f"{cell:>10}" for cell in cells)])
