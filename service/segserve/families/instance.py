"""Instance models: a detector's padded columns in, regions out.

The network gives a fixed number K of rows: ``scores`` [K], ``labels`` [K], and what the model's
`MaskRule` makes boxes and masks of. Where the last rows may be padding, ``valid`` [1] says how many
before them are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed, InvalidInput
from segserve.core.messages import Image
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.regions import Regions, Rle
from segserve.core.tensor import Array, Tensors
from segserve.families.family import Findings, Plan
from segserve.families.image_half import ImageHalf, context_of
from segserve.families.mask_rule import Frame, MaskRule
from segserve.families.option_checks import check_options
from segserve.families.suppression import Suppression
from segserve.ops.masks import areas
from segserve.ops.warm import KernelGroup

COLUMNS = ("scores", "labels")
VALID = "valid"
_MASK_FORMATS = (MaskFormat.RLE, MaskFormat.NONE)


@dataclass(frozen=True)
class InstanceRule:
    """How a detector's rows become regions.

    Parameters
    ----------
    labels : tuple of str
        Line n of labels.txt; may be empty.
    score_threshold : float in [0, 1]
        Rows scoring less are never reported.
    ignore_ids : frozenset of int
        Labels that are never reported.
    suppression : Suppression or None
        What the graph does, as the config declares it; reported alone.
    """

    labels: tuple[str, ...] = ()
    score_threshold: float = 0.0
    ignore_ids: frozenset[int] = frozenset()
    suppression: Suppression | None = None


@dataclass(frozen=True)
class InstanceFamily:
    """A `Family` for detectors with masks."""

    images: ImageHalf
    rule: InstanceRule
    masks: MaskRule

    @property
    def image_input(self) -> str:
        """Name of the network's image input."""
        return self.images.spec.name

    @property
    def kernels(self) -> frozenset[KernelGroup]:
        """The compiled kernels that it may call."""
        return frozenset({KernelGroup.IMAGES, KernelGroup.MASKS})

    @property
    def warm_shapes(self) -> tuple[tuple[int, int], ...]:
        """Network sizes (height, width) to run before the model is ready."""
        return self.images.rule.warm_shapes

    def plan(self, image: Image, options: SegmentOptions) -> Plan:
        """Read the header and check the options.

        Raises
        ------
        InvalidInput, TooLarge, Unsupported
            When the image or the options cannot be served.
        """
        check_options(options, len(self.rule.labels) or None)
        if options.mask_format not in (None, *_MASK_FORMATS):
            raise InvalidInput(
                f"mask_format={options.mask_format.value} does not apply to instance models, "
                f"whose masks may overlap: ask for rle or none"
            )
        if options.output_size is OutputSize.STRIDE:
            raise InvalidInput(
                "output_size=stride does not apply to instance models, whose masks are relative "
                "to their boxes: leave it out"
            )
        return self.images.plan(image)

    def preprocess(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode, resize and normalise straight into `out`.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        self.images.fill(image, plan, out)

    def postprocess(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> Findings:
        """Choose rows, bring their boxes and masks into the source image, encode the masks.

        Raises
        ------
        BackendFailed
            When the model's columns do not fit together.
        """
        wanted = self._chosen(outputs, options)
        source = (plan.source_height_px, plan.source_width_px)
        placed = self.masks.place(outputs, wanted, Frame(source, context_of(plan).placement))
        rows = wanted[placed.rows]
        pixels = areas(placed.masks)
        kept = np.flatnonzero(pixels >= (options.min_area_px or 0))[: options.top_k]
        regions = _Columns(
            placed.boxes, outputs["scores"][rows], outputs["labels"][rows], pixels, placed.masks
        )
        with_masks = options.mask_format is not MaskFormat.NONE
        return Findings(regions=regions.take(kept, with_masks=with_masks))

    def _chosen(self, outputs: Tensors, options: SegmentOptions) -> npt.NDArray[np.intp]:
        """Rows that the options keep: falling score, equal scores by lower row."""
        scores, labels = outputs["scores"], outputs["labels"]
        _check_columns(outputs)
        self.masks.check(outputs)
        threshold = max(self.rule.score_threshold, options.score_threshold or 0.0)
        keep = scores >= threshold
        if VALID in outputs:
            keep[int(outputs[VALID][0]) :] = False
        if self.rule.ignore_ids:
            keep &= ~np.isin(labels, sorted(self.rule.ignore_ids))
        if options.label_ids is not None:
            keep &= np.isin(labels, options.label_ids)
        rows = np.flatnonzero(keep)
        return rows[np.argsort(-scores[rows].astype(np.float64), kind="stable")]

    def describe(self) -> Mapping[str, object]:
        """Tell, in values that JSON has, what images and options this model takes."""
        suppression = self.rule.suppression
        return {
            "kind": "instance",
            **self.images.describe(),
            "label_count": len(self.rule.labels) or None,
            "score_threshold": self.rule.score_threshold,
            **self.masks.describe(),
            "nms": suppression.describe() if suppression else None,
            "ignore_ids": sorted(self.rule.ignore_ids),
            "mask_formats": [m.value for m in _MASK_FORMATS],
            "output_sizes": [OutputSize.SOURCE.value],
            "options": ["mask_format", "score_threshold", "top_k", "min_area_px", "label_ids"],
        }


def _check_columns(outputs: Tensors) -> None:
    count = len(outputs["scores"])
    for name in COLUMNS:
        if outputs[name].shape != (count,):
            raise BackendFailed(
                f"output '{name}' must be {[count]} as 'scores' has {count} rows, got "
                f"{list(outputs[name].shape)}"
            )
    valid = outputs.get(VALID)
    if valid is None:
        return
    if valid.shape != (1,) or valid.dtype.kind != "i":
        raise BackendFailed(
            f"output '{VALID}' must be one whole number, how many rows are valid, got "
            f"{valid.dtype} {list(valid.shape)}"
        )
    if not 0 <= valid[0] <= count:
        raise BackendFailed(
            f"output '{VALID}' must be 0 to {count}, the number of rows, got {valid[0]}"
        )


@dataclass(frozen=True)
class _Columns:
    """One image's regions before the last choice among them."""

    boxes: npt.NDArray[np.float32]
    scores: Array
    labels: Array
    areas: npt.NDArray[np.int64]
    masks: tuple[Rle, ...]

    def take(self, rows: npt.NDArray[np.intp], *, with_masks: bool) -> Regions:
        """Give some rows as `Regions` of one image."""
        return Regions(
            boxes=self.boxes[rows],
            scores=self.scores[rows].astype(np.float32),
            labels=self.labels[rows].astype(np.int32),
            areas=self.areas[rows],
            masks=tuple(self.masks[int(i)] for i in rows) if with_masks else (),
            image_index=np.zeros(len(rows), dtype=np.int32),
            row_splits=np.array([0, len(rows)], dtype=np.int64),
        )
