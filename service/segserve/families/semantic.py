"""Semantic models: logits at some stride in, a label for every pixel out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from segserve.core.errors import BackendFailed, InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import Image
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.tensor import Array, Tensors
from segserve.families.family import Findings, Plan
from segserve.families.image_half import ImageHalf, context_of
from segserve.families.option_checks import check_options
from segserve.families.refined_labels import (
    BYTES_PER_PIXEL,
    refine_bytes_per_pixel,
    refined_labels,
)
from segserve.families.refinement import REQUEST_KEYS, Refinement
from segserve.ops.argmax import LabelArray, NetworkGrid, argmax, upsample_argmax, valid_count
from segserve.ops.argmax_two_step import upsample_argmax_two_step
from segserve.ops.png import Palette, encode_label_png
from segserve.ops.rle import LabelRuns, encode_labels, find_runs
from segserve.ops.warm import KernelGroup

_RANK = 3
_OPTIONS = ("mask_format", "top_k", "min_area_px", "label_ids", "output_size", "refine")


class OutputGrid(Enum):
    """Whose pixels a label map has where a request does not say."""

    SOURCE = "source"
    NETWORK = "network"
    """Those of the resized picture, without padding."""


@dataclass(frozen=True)
class SemanticRule:
    """How logits become labels.

    Parameters
    ----------
    logits_output : str
    labels : tuple of str
        Line n of labels.txt; may be empty.
    label_count : int or None
        Classes of the model; None when neither the labels nor the output's dims say.
    align_corners : bool
        Of the up-sampling.
    two_step : bool
        Logits are enlarged to the network's input, then resized to the source, as detectron2 does;
        else one interpolation goes from logits to source pixels.
    output_grid : OutputGrid
    ignore_ids, thing_ids : frozenset of int
        Never reported; reported as countable objects.
    palette : Palette
        Colours of the label map as PNG.
    refinement : Refinement
    """

    logits_output: str
    labels: tuple[str, ...] = ()
    label_count: int | None = None
    align_corners: bool = False
    two_step: bool = False
    output_grid: OutputGrid = OutputGrid.SOURCE
    ignore_ids: frozenset[int] = frozenset()
    thing_ids: frozenset[int] = frozenset()
    palette: Palette = ()
    refinement: Refinement = field(default_factory=Refinement)


@dataclass(frozen=True)
class SemanticFamily:
    """A `Family` for networks that give logits [C, h, w] at any stride."""

    images: ImageHalf
    rule: SemanticRule

    @property
    def image_input(self) -> str:
        """Name of the network's image input."""
        return self.images.spec.name

    @property
    def kernels(self) -> frozenset[KernelGroup]:
        """The compiled kernels that it may call."""
        return frozenset({KernelGroup.IMAGES, KernelGroup.LABEL_MAPS, KernelGroup.CRF})

    @property
    def warm_shapes(self) -> tuple[tuple[int, int], ...]:
        """Network sizes (height, width) to run before the model is ready."""
        return self.images.rule.warm_shapes

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters that a request may set: those of the refinement."""
        return REQUEST_KEYS

    def plan(self, image: Image, options: SegmentOptions) -> Plan:
        """Read the header and check the options.

        Raises
        ------
        InvalidInput, TooLarge, Unsupported
            When the image or the options cannot be served.
        """
        check_options(options, self.rule.label_count, refine_parameters=REQUEST_KEYS)
        if options.score_threshold is not None:
            raise InvalidInput(
                "score_threshold does not apply to semantic models, whose labels have no score: "
                "leave it out, or use min_area_px"
            )
        plan = self.images.plan(image)
        refinement = self.rule.refinement.chosen(options)
        if refinement is None:
            return plan
        refinement.check_labels(self.rule.label_count)
        pixels = plan.source_height_px * plan.source_width_px
        return replace(plan, decoded_bytes=plan.decoded_bytes + BYTES_PER_PIXEL * pixels)

    def preprocess(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode, resize and normalise straight into `out`.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        self.images.fill(image, plan, out)

    def postprocess(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> Findings:
        """Up-sample and arg-max in one, then encode what was asked for.

        Raises
        ------
        BackendFailed
            When the model's logits are no float [C, h, w].
        """
        return self._found(self._labels(self._logits(outputs), plan, options), options)

    def refine_budget_s(self, options: SegmentOptions) -> float | None:
        """Give the time a refinement may take, its waiting included; None where none is wanted."""
        chosen = self.rule.refinement.chosen(options)
        return None if chosen is None else chosen.max_ms / 1000

    def refine_bytes(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> int:
        """Give the working memory that a refinement will need, and the logits that it holds.

        Raises
        ------
        BackendFailed
            When the model's logits are no float [C, h, w], or not finite.
        """
        placement = context_of(plan).placement
        grid = NetworkGrid(*placement.network, *placement.content)
        height, width = self._size(plan, options)
        logits = self._logits(outputs)
        return logits.nbytes + refine_bytes_per_pixel(logits, grid) * height * width

    def refine(
        self,
        image: Image,
        outputs: Tensors,
        plan: Plan,
        options: SegmentOptions,
        *,
        stop: Callable[[], bool],
    ) -> Findings:
        """Do what `postprocess` does, with labels from a dense CRF.

        Raises
        ------
        BackendFailed
            When the model's logits are no float [C, h, w], or not finite.
        InvalidInput
            When a standard deviation is too small for the picture.
        Cancelled
            When `stop` says so.
        """
        logits = self._logits(outputs)
        placement = context_of(plan).placement
        chosen = self.rule.refinement.chosen(options) or self.rule.refinement
        pixels = self.images.pixels(image, plan, self._size(plan, options))
        labels = refined_labels(
            logits,
            pixels,
            NetworkGrid(*placement.network, *placement.content),
            chosen.crf,
            align_corners=self.rule.align_corners,
            stop=stop,
        )
        return replace(self._found(labels, options), refined=True)

    def _logits(self, outputs: Tensors) -> Array:
        logits = outputs[self.rule.logits_output]
        if logits.ndim != _RANK or logits.dtype.kind != "f" or 0 in logits.shape:
            raise BackendFailed(
                f"output '{self.rule.logits_output}' must be float logits [C, h, w], got "
                f"{logits.dtype} {list(logits.shape)}"
            )
        return logits

    def _found(self, labels: LabelArray, options: SegmentOptions) -> Findings:
        runs = find_runs(labels)
        mask_format = options.mask_format or MaskFormat.RLE
        height, width = labels.shape
        return Findings(
            label_map=LabelMap(
                height_px=height,
                width_px=width,
                segments=self._segments(runs, options, with_masks=mask_format is MaskFormat.RLE),
                labels=labels if mask_format is MaskFormat.RAW else None,
                png=encode_label_png(labels, self.rule.palette)
                if mask_format is MaskFormat.PNG
                else None,
            )
        )

    def _labels(self, logits: Array, plan: Plan, options: SegmentOptions) -> LabelArray:
        placement = context_of(plan).placement
        grid = NetworkGrid(*placement.network, *placement.content)
        if options.output_size is OutputSize.STRIDE:
            _, rows, columns = logits.shape
            height = valid_count(rows, grid.height_px, grid.valid_height_px)
            width = valid_count(columns, grid.width_px, grid.valid_width_px)
            return argmax(logits, height, width)
        height, width = self._size(plan, options)
        if self.rule.two_step and (height, width) != placement.content:
            return upsample_argmax_two_step(logits, grid, height, width)
        return upsample_argmax(
            logits, height, width, grid=grid, align_corners=self.rule.align_corners
        )

    def _size(self, plan: Plan, options: SegmentOptions) -> tuple[int, int]:
        """Give the label map's size: what the request says, else what the model says."""
        if options.output_size is None and self.rule.output_grid is OutputGrid.NETWORK:
            return context_of(plan).placement.content
        return plan.source_height_px, plan.source_width_px

    def _segments(
        self, runs: LabelRuns, options: SegmentOptions, *, with_masks: bool
    ) -> tuple[Segment, ...]:
        """Rows of the labels that the options keep: falling area, equal areas by lower id."""
        areas = runs.areas
        present = np.flatnonzero(areas >= max(1, options.min_area_px or 0))
        wanted = None if options.label_ids is None else set(options.label_ids)
        kept = [
            int(i)
            for i in present[np.argsort(-areas[present], kind="stable")]
            if i not in self.rule.ignore_ids and (wanted is None or i in wanted)
        ][: options.top_k]
        masks = encode_labels(runs, kept) if with_masks else (None,) * len(kept)
        return tuple(
            Segment(
                segment_id=i,
                label_id=i,
                area=int(areas[i]),
                is_thing=i in self.rule.thing_ids,
                mask=mask,
            )
            for i, mask in zip(kept, masks, strict=True)
        )

    def describe(self) -> Mapping[str, object]:
        """Tell, in values that JSON has, what images and options this model takes."""
        rule = self.rule
        return {
            "kind": "semantic",
            **self.images.describe(),
            "logits_output": rule.logits_output,
            "label_count": rule.label_count,
            "ignore_ids": sorted(rule.ignore_ids),
            "thing_ids": sorted(rule.thing_ids),
            "mask_formats": [m.value for m in MaskFormat],
            "output_grid": rule.output_grid.value,
            "output_sizes": [o.value for o in OutputSize],
            "options": list(_OPTIONS),
            "refine": "dense_crf" if rule.refinement.wanted else "none",
            "parameters": list(REQUEST_KEYS),
        }
