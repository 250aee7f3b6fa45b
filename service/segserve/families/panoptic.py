"""Panoptic models: a detector's columns and semantic logits in; one map, and the regions before it.

Source of the merge: Kirillov et al., "Panoptic Segmentation" (2019), and the description of
facebookresearch/detectron2 ``modeling/meta_arch/panoptic_fpn.py``
(``combine_semantic_and_instance_outputs``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed, InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import Image
from segserve.core.options import DEFAULT_OPTIONS, MaskFormat, OutputSize, SegmentOptions
from segserve.core.regions import Regions
from segserve.core.tensor import Array, Tensors
from segserve.families.family import Findings, Plan
from segserve.families.image_half import context_of
from segserve.families.instance import InstanceFamily
from segserve.families.option_checks import check_options
from segserve.ops import rle
from segserve.ops.argmax import LabelArray, NetworkGrid, upsample_argmax
from segserve.ops.argmax_two_step import upsample_argmax_two_step
from segserve.ops.png import Palette, encode_label_png
from segserve.ops.warm import KernelGroup

_RANK = 3


@dataclass(frozen=True)
class PanopticRule:
    """How things and stuff become one map; the defaults are detectron2's.

    Parameters
    ----------
    logits_output : str
        The semantic logits [C, h, w]; class 0 is every thing and is never reported.
    stuff_offset : int
        Class n of the logits is label ``stuff_offset + n``; labels below are things.
    score_threshold : float
        Things scoring less are not in the map.
    overlap_threshold : float
        A thing is not in the map when a larger share of it is taken already.
    min_stuff_area_px : int
        Smaller free areas of stuff are not in the map.
    palette : Palette
        Colours of the map as PNG, by segment id.
    """

    logits_output: str
    stuff_offset: int
    score_threshold: float = 0.5
    overlap_threshold: float = 0.5
    min_stuff_area_px: int = 4096
    palette: Palette = ()


@dataclass(frozen=True)
class PanopticFamily:
    """A `Family` for a detector and a semantic head on one picture."""

    instances: InstanceFamily
    rule: PanopticRule

    @property
    def image_input(self) -> str:
        """Name of the network's image input."""
        return self.instances.image_input

    @property
    def kernels(self) -> frozenset[KernelGroup]:
        """The compiled kernels that it may call."""
        return frozenset({KernelGroup.IMAGES, KernelGroup.LABEL_MAPS, KernelGroup.MASKS})

    @property
    def warm_shapes(self) -> tuple[tuple[int, int], ...]:
        """Network sizes (height, width) to run before the model is ready."""
        return self.instances.warm_shapes

    def plan(self, image: Image, options: SegmentOptions) -> Plan:
        """Read the header and check the options.

        Raises
        ------
        InvalidInput, TooLarge, Unsupported
            When the image or the options cannot be served.
        """
        check_options(options, len(self.instances.rule.labels) or None)
        if options.output_size is OutputSize.STRIDE:
            raise InvalidInput(
                "output_size=stride does not apply to panoptic models, whose things are relative "
                "to their boxes: leave it out"
            )
        return self.instances.images.plan(image)

    def preprocess(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode, resize and normalise straight into `out`.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        self.instances.preprocess(image, plan, out)

    def postprocess(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> Findings:
        """Merge things and stuff by the official rule, then leave out what the options say.

        Regions are the detections before merging; their masks may overlap. Options choose what is
        reported and never change the map's pixels.

        Raises
        ------
        BackendFailed
            When the model's outputs do not fit together.
        """
        found = self.instances.postprocess(outputs, plan, DEFAULT_OPTIONS).regions
        if found is None:
            raise BackendFailed("a panoptic model's detector gave no regions")
        canvas, segments = merge(found, self._stuff(outputs, plan), self.rule)
        mask_format = options.mask_format or MaskFormat.RLE
        label_map = LabelMap(
            height_px=canvas.shape[0],
            width_px=canvas.shape[1],
            segments=_reported(canvas, segments, options, mask_format),
            labels=canvas if mask_format is MaskFormat.RAW else None,
            png=encode_label_png(canvas, self.rule.palette)
            if mask_format is MaskFormat.PNG
            else None,
        )
        regions = _chosen(found, options)
        if mask_format is MaskFormat.NONE:
            regions = replace(regions, masks=())
        return Findings(label_map=label_map, regions=regions)

    def _stuff(self, outputs: Tensors, plan: Plan) -> LabelArray:
        """Give the semantic class of every source pixel: enlarged, cut, resized, argmax."""
        name = self.rule.logits_output
        logits = outputs[name]
        if logits.ndim != _RANK or logits.dtype.kind != "f" or 0 in logits.shape:
            raise BackendFailed(
                f"output '{name}' must be float logits [C, h, w], got {logits.dtype} "
                f"{list(logits.shape)}"
            )
        placement = context_of(plan).placement
        grid = NetworkGrid(*placement.network, *placement.content)
        size = (plan.source_height_px, plan.source_width_px)
        if size == placement.content:
            return upsample_argmax(logits, *size, grid=grid)
        return upsample_argmax_two_step(logits, grid, *size)

    def describe(self) -> Mapping[str, object]:
        """Tell, in values that JSON has, what images and options this model takes."""
        rule = self.rule
        return {
            **self.instances.describe(),
            "kind": "panoptic",
            "logits_output": rule.logits_output,
            "stuff_offset": rule.stuff_offset,
            "merge_score_threshold": rule.score_threshold,
            "merge_overlap_threshold": rule.overlap_threshold,
            "min_stuff_area_px": rule.min_stuff_area_px,
            "mask_formats": [m.value for m in MaskFormat],
        }


def merge(
    things: Regions, stuff: LabelArray, rule: PanopticRule
) -> tuple[LabelArray, tuple[Segment, ...]]:
    """Lay things by falling score, then stuff on what is free.

    Parameters
    ----------
    things : Regions
        With masks, by falling score.
    stuff : uint8 or uint16 [H, W]
        Semantic classes.
    rule : PanopticRule

    Returns
    -------
    canvas : uint8 or uint16 [H, W]
        Segment ids from 1; 0 where nothing is.
    segments : tuple of Segment
        By id, without masks.
    """
    canvas = np.zeros(stuff.shape, dtype=np.uint16)
    segments: list[Segment] = []
    for row in range(len(things)):
        if things.scores[row] < rule.score_threshold:
            break
        mask = rle.decode(things.masks[row]).astype(bool)
        free = mask & (canvas == 0)
        area, free_area = int(mask.sum()), int(free.sum())
        if area == 0 or (area - free_area) / area > rule.overlap_threshold:
            continue
        label, score = int(things.labels[row]), float(things.scores[row])
        segments.append(Segment(len(segments) + 1, label, free_area, is_thing=True, score=score))
        canvas[free] = len(segments)
    for label in np.unique(stuff):
        if label == 0:
            continue
        free = (stuff == label) & (canvas == 0)
        area = int(free.sum())
        if area < rule.min_stuff_area_px:
            continue
        segments.append(Segment(len(segments) + 1, rule.stuff_offset + int(label), area))
        canvas[free] = len(segments)
    small = len(segments) <= np.iinfo(np.uint8).max
    return (canvas.astype(np.uint8) if small else canvas), tuple(segments)


def _reported(
    canvas: LabelArray,
    segments: tuple[Segment, ...],
    options: SegmentOptions,
    mask_format: MaskFormat,
) -> tuple[Segment, ...]:
    """Segments that the options keep: falling area, equal areas by lower id."""
    threshold = options.score_threshold or 0.0
    kept = [
        segment
        for segment in sorted(segments, key=lambda s: -s.area)
        if segment.area >= max(1, options.min_area_px or 0)
        and (segment.score is None or segment.score >= threshold)
        and (options.label_ids is None or segment.label_id in options.label_ids)
    ][: options.top_k]
    if mask_format is not MaskFormat.RLE:
        return tuple(kept)
    masks = rle.label_map_to_rles(canvas, [segment.segment_id for segment in kept])
    return tuple(replace(s, mask=mask) for s, mask in zip(kept, masks, strict=True))


def _chosen(regions: Regions, options: SegmentOptions) -> Regions:
    """Regions that the options keep, in their order."""
    keep: npt.NDArray[np.bool_] = regions.scores >= (options.score_threshold or 0.0)
    keep &= regions.areas >= (options.min_area_px or 0)
    if options.label_ids is not None:
        keep &= np.isin(regions.labels, options.label_ids)
    rows = np.flatnonzero(keep)[: options.top_k]
    return Regions(
        boxes=regions.boxes[rows],
        scores=regions.scores[rows],
        labels=regions.labels[rows],
        areas=regions.areas[rows],
        masks=tuple(regions.masks[int(i)] for i in rows),
        image_index=regions.image_index[rows],
        row_splits=np.array([0, len(rows)], dtype=np.int64),
    )
