"""A served model over a data set: every image is sent, every answer is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from segserve.client import MaskFormat, OutputSize, SegmentOptions, SegmentResult, StreamAnswer
from segserve.client.conversion import Picture
from segserve.client.masks import rle_to_mask
from segserve.core.errors import InvalidInput, ServiceError
from segserve.core.label_map import UNUSED_LABEL
from segserve.evaluation.boundary_iou import BoundaryCounts
from segserve.evaluation.coco_ap import ApScores, average_precision
from segserve.evaluation.coco_match import Detection, Truth
from segserve.evaluation.instance_sets import InstanceSet
from segserve.evaluation.panoptic_quality import PanopticCounts, PanopticSegment, Quality
from segserve.evaluation.panoptic_sets import PanopticSet
from segserve.evaluation.semantic import ConfusionMatrix, SemanticScores
from segserve.evaluation.semantic_sets import SemanticSet

Ask = Callable[[Iterable[Picture], SegmentOptions], Iterator[StreamAnswer]]
"""Sends pictures and gives the answers as they come: `segserve.client.Client.segment_many`."""
Progress = Callable[[int, int], None]
"""Told after every image: how many are done, of how many."""

_MAPS = SegmentOptions(mask_format=MaskFormat.RAW, output_size=OutputSize.SOURCE)
_MASKS = SegmentOptions(mask_format=MaskFormat.RLE, output_size=OutputSize.SOURCE)


class _Image(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def read_picture(self) -> Callable[[], Picture]: ...


AnImage = TypeVar("AnImage", bound=_Image)


@dataclass(frozen=True)
class SemanticReport:
    """Scores of label maps, with the boundary IoU of each class [C] and their mean."""

    scores: SemanticScores
    boundary_iou: npt.NDArray[np.float64]
    mean_boundary_iou: float


@dataclass(frozen=True)
class InstanceReport:
    """COCO's figures of boxes and of masks."""

    box: ApScores
    mask: ApScores


@dataclass(frozen=True)
class PanopticReport:
    """Panoptic quality over all categories, over things, and over stuff."""

    everything: Quality
    things: Quality
    stuff: Quality


def measure_semantic(data: SemanticSet, ask: Ask, progress: Progress) -> SemanticReport:
    """Score the label maps of a semantic model.

    Raises
    ------
    ServiceError
        Of the first image that fails; `InvalidInput` when labels are not the data set's.
    """
    matrix = ConfusionMatrix(len(data.class_names))
    boundaries = BoundaryCounts(len(data.class_names))
    for image, result in _answers(data.images, ask, _MAPS, progress):
        with _about(image):
            truth, found = image.read_truth(), result.label_map()
            matrix.add(truth, found)
            boundaries.add(truth, found)
    return SemanticReport(matrix.scores(), boundaries.iou(), boundaries.mean_iou())


def measure_instances(data: InstanceSet, ask: Ask, progress: Progress) -> InstanceReport:
    """Score the regions of an instance model; its labels are matched with categories by name.

    Raises
    ------
    ServiceError
        Of the first image that fails; `InvalidInput` when a label is no category, or the model
        gives label maps alone.
    """
    truths: list[Truth] = []
    found: list[Detection] = []
    maps_alone = True
    for image, result in _answers(data.images, ask, _MASKS, progress):
        with _about(image):
            truths.extend(image.read_truths())
        maps_alone &= result.map is not None and not result.regions
        for region in result.regions:
            if region.label == UNUSED_LABEL:  # of no category, as the official evaluations take it
                continue
            x1, y1, x2, y2 = region.box
            category = category_of(region.label, region.label_id, data.category_ids)
            box = (x1, y1, x2 - x1, y2 - y1)
            found.append(Detection(image.image_id, category, region.score, box, region.mask))
    if maps_alone:
        raise InvalidInput(
            "the model answers with label maps and found no instance: AP is of those"
        )
    return InstanceReport(
        average_precision(truths, found, "box"), average_precision(truths, found, "mask")
    )


def measure_panoptic(data: PanopticSet, ask: Ask, progress: Progress) -> PanopticReport:
    """Score the segments of a panoptic model; labels are matched with categories by name.

    Raises
    ------
    ServiceError
        Of the first image that fails; `InvalidInput` when a label is no category.
    """
    counts = PanopticCounts()
    for image, result in _answers(data.images, ask, _MASKS, progress):
        if result.regions and result.map is None and not result.segments:
            raise InvalidInput(f"model '{result.model}' gives instances alone, no map of segments")
        with _about(image):
            counts.add(image.read_truth(), _segments(result, data.category_ids))
    stuff = set(data.category_ids.values()) - data.things
    return PanopticReport(counts.quality(), counts.quality(data.things), counts.quality(stuff))


def _segments(
    result: SegmentResult, category_ids: Mapping[str, int]
) -> tuple[npt.NDArray[np.int64], list[PanopticSegment]]:
    """Paint an answer's segments into a map of their numbers from 1, 0 elsewhere."""
    painted = np.zeros((result.height_px, result.width_px), np.int64)
    segments = []
    for number, segment in enumerate(result.segments, start=1):
        if segment.mask is None:
            raise InvalidInput(f"model '{result.model}' gave a segment without a mask")
        painted[rle_to_mask(segment.mask)] = number
        category = category_of(segment.label, segment.label_id, category_ids)
        segments.append(PanopticSegment(number, category))
    return painted, segments


def category_of(label: str, label_id: int, category_ids: Mapping[str, int]) -> int:
    """Give the category that a label names.

    Raises
    ------
    InvalidInput
        When none has that name.
    """
    category = category_ids.get(label)
    if category is None:
        raise InvalidInput(
            f"the model's label {label_id}, '{label}', is no category of the data set; expected "
            f"one of {', '.join(list(category_ids)[:5])}, ...: correct the model's labels.txt"
        )
    return category


def _answers(
    images: Sequence[AnImage], ask: Ask, options: SegmentOptions, progress: Progress
) -> Iterator[tuple[AnImage, SegmentResult]]:
    pictures = (image.read_picture() for image in images)
    for done, answer in enumerate(ask(pictures, options), start=1):
        if answer.error is not None:
            with _about(images[answer.index]):
                raise answer.error
        if answer.result is not None:
            yield images[answer.index], answer.result
        progress(done, len(images))


@contextmanager
def _about(image: _Image) -> Iterator[None]:
    """Note on an error which image it is about."""
    try:
        yield
    except (ServiceError, OSError, ValueError) as error:
        error.add_note(f"(image {image.name})")
        raise
