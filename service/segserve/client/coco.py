"""Results as a COCO data set, for the tools that read those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from segserve.client.masks import rle_box
from segserve.client.result import Region, Segment, SegmentResult
from segserve.core.regions import Rle


def to_coco(results: Mapping[str | PurePath, SegmentResult]) -> dict[str, list[dict[str, object]]]:
    """Give the dictionary that ``json.dump`` makes a COCO file of.

    Instances come from `regions`, and from `segments` where a result has no regions. Boxes are
    COCO's: x, y, width, height; where masks are there, a segment's box is the tight one of its
    mask. Instances keep their score, so that ``annotations`` also serves as a result list.

    Parameters
    ----------
    results : mapping of file name to SegmentResult

    Returns
    -------
    dict
        ``images``, ``annotations`` and ``categories``; category ids are label ids, image and
        annotation ids count from 1.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    labels: dict[int, str] = {}
    for image_id, (name, result) in enumerate(results.items(), 1):
        size = {"width": result.width_px, "height": result.height_px}
        images.append({"id": image_id, "file_name": str(name), **size})
        found: Iterable[Region | Segment] = result.regions or result.segments
        for item in found:
            labels[item.label_id] = item.label
            entry = {"id": len(annotations) + 1, "image_id": image_id, **_annotation(item)}
            annotations.append(entry)
    categories: list[dict[str, object]] = [
        {"id": label_id, "name": label} for label_id, label in sorted(labels.items())
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(item: Region | Segment) -> dict[str, object]:
    entry: dict[str, object] = {"category_id": item.label_id, "area": item.area, "iscrowd": 0}
    box = item.box if isinstance(item, Region) else _tight_box(item.mask)
    if box is not None:
        x1, y1, x2, y2 = box
        entry["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    if item.mask is not None:
        entry["segmentation"] = item.mask.to_coco()
    if item.score is not None:
        entry["score"] = item.score
    return entry


def _tight_box(mask: Rle | None) -> tuple[float, float, float, float] | None:
    return None if mask is None else rle_box(mask)
