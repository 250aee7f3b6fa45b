"""What one request may choose; None always means 'as the model's config says'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from segserve.core.prompts import Prompt


class MaskFormat(Enum):
    """How masks leave the server."""

    RLE = "rle"
    """COCO RLE: one per instance, or one per label of a semantic map."""
    PNG = "png"
    """Semantic and panoptic: the label map as a PNG."""
    RAW = "raw"
    """Semantic and panoptic: the label map as uint8 (uint16 above 256 ids), row-major."""
    NONE = "none"
    """Areas, boxes and scores only."""


class OutputSize(Enum):
    """The resolution of masks and maps."""

    SOURCE = "source"
    STRIDE = "stride"
    """The model's own output resolution, without the up-sampling."""


class Refine(Enum):
    """Classical post-processing of the map."""

    NONE = "none"
    DENSE_CRF = "dense_crf"


@dataclass(frozen=True)
class SegmentOptions:
    """Every per-request choice; unset (None) differs from zero.

    Parameters
    ----------
    mask_format : MaskFormat, optional
        Default: RLE.
    score_threshold : float in [0, 1], optional
        Instances scoring less are dropped; it can only raise the model's own threshold.
    top_k : int >= 0, optional
        Keep the best k instances, or the k largest labels of a semantic map.
    min_area_px : int >= 0, optional
        Drop masks and labels with fewer pixels.
    label_ids : tuple of int, optional
        Keep these labels only.
    refine : Refine, optional
    output_size : OutputSize, optional
        Default: SOURCE.
    parameters : Mapping of str to str
        Options of the model itself, as they would stand in its config; models without any refuse
        them.
    prompts : tuple of Prompt
        Hints for promptable models; others refuse them.
    """

    mask_format: MaskFormat | None = None
    score_threshold: float | None = None
    top_k: int | None = None
    min_area_px: int | None = None
    label_ids: tuple[int, ...] | None = None
    refine: Refine | None = None
    output_size: OutputSize | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    prompts: tuple[Prompt, ...] = ()


DEFAULT_OPTIONS = SegmentOptions()
OPTION_NAMES = tuple(
    each.name for each in fields(SegmentOptions) if each.name not in ("parameters", "prompts")
)
"""The choices that every family knows, by the names that a request's parameters have."""
