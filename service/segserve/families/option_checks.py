"""Checks of per-request options that families share."""

from __future__ import annotations

from collections.abc import Collection

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.options import DEFAULT_OPTIONS, Refine, SegmentOptions


def check_options(
    options: SegmentOptions,
    label_count: int | None,
    *,
    takes_parameters: bool = False,
    refine_parameters: Collection[str] = (),
) -> None:
    """Refuse options that no family can follow.

    Parameters
    ----------
    options : SegmentOptions
    label_count : int or None
        Labels of the model; None when nobody has said.
    takes_parameters : bool
        The model looks at ``options.parameters`` and ``options.prompts`` itself.
    refine_parameters : collection of str
        Names of parameters of the refinement; none where the model cannot be refined.

    Raises
    ------
    InvalidInput
        On a value out of range.
    Unsupported
        When refinement or prompts are given to a model that takes none.
    """
    if options is DEFAULT_OPTIONS:  # nothing is asked for
        return
    if options.refine is Refine.DENSE_CRF and not refine_parameters:
        raise Unsupported(
            "refine=dense_crf is for semantic models with logits: leave refine out, or send "
            "refine=none"
        )
    if not takes_parameters:
        _refuse_hints(options, refine_parameters)
    _check_filters(options, label_count)


def _refuse_hints(options: SegmentOptions, known: Collection[str]) -> None:
    if options.prompts:
        raise Unsupported("this model takes no prompts: leave them out")
    if unknown := sorted(options.parameters.keys() - set(known)):
        takes = f"takes {', '.join(known)}" if known else "takes no parameters"
        raise InvalidInput(f"this model {takes}: leave out {', '.join(unknown)}")


def _check_filters(options: SegmentOptions, label_count: int | None) -> None:
    score = options.score_threshold
    if score is not None and not 0 <= score <= 1:
        raise InvalidInput(f"score_threshold must be in [0, 1], got {score}")
    for name in ("top_k", "min_area_px"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise InvalidInput(f"{name} must be 0 or more, got {value}")
    last = "any" if label_count is None else label_count - 1
    for label_id in options.label_ids or ():
        if label_id < 0 or (label_count is not None and label_id >= label_count):
            raise InvalidInput(f"label_ids must be in 0..{last}, got {label_id}")
