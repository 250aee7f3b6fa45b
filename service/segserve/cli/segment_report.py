"""What ``segserve segment`` prints; docs/client.md describes the JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segserve.client import Region, Rle, Segment, SegmentResult

_NAME_WIDTH = 24


def json_document(path: Path, result: SegmentResult) -> dict[str, object]:
    """Give the object of one line of ``--json``; masks are COCO RLE whichever way they came."""
    masks = _segment_masks(result)
    panoptic = any(s.is_thing or s.score is not None for s in result.segments)
    return {
        "image": {
            "path": str(path),
            "width": result.width_px,
            "height": result.height_px,
            "digest": result.image_digest,
        },
        "model": result.model,
        "version": str(result.version),
        "model_digest": result.model_digest,
        "timings_ms": _timings_ms(result),
        **({} if result.refined is None else {"refined": result.refined}),
        "regions": [_region(region) for region in result.regions],
        "segments": [
            _segment(segment, mask, panoptic=panoptic)
            for segment, mask in zip(result.segments, masks, strict=True)
        ],
    }


def _timings_ms(result: SegmentResult) -> dict[str, float]:
    return {
        name.removesuffix("_s"): round(seconds * 1000, 3)
        for name, seconds in asdict(result.timings).items()
    }


def _segment_masks(result: SegmentResult) -> list[Rle | None]:
    has_map = result.map is not None and (result.map.png or result.map.raw) is not None
    if not has_map:
        return [segment.mask for segment in result.segments]
    from segserve.client import mask_to_rle

    labels = result.label_map()
    return [mask_to_rle(labels == segment.segment_id) for segment in result.segments]


def _region(region: Region) -> dict[str, object]:
    return {
        "box": [round(x, 3) for x in region.box],
        "score": region.score,
        "label_id": region.label_id,
        "label": region.label,
        "area": region.area,
        "mask": region.mask and region.mask.to_coco(),
        "region_id": region.region_id,
    }


def _segment(segment: Segment, mask: Rle | None, *, panoptic: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "label_id": segment.label_id,
        "label": segment.label,
        "area": segment.area,
        "mask": mask and mask.to_coco(),
    }
    if panoptic:
        entry |= {
            "segment_id": segment.segment_id,
            "is_thing": segment.is_thing,
            "score": segment.score,
        }
    return entry


def text_report(path: Path, result: SegmentResult, overlay: Path | None) -> str:
    """Give the lines for a person: classes, scores, areas and timings of one image."""
    return "\n".join(_lines(path, result, overlay))


def _lines(path: Path, result: SegmentResult, overlay: Path | None) -> Iterator[str]:
    size = f"{result.width_px} x {result.height_px} px"
    yield f"{path}: {size}, model {result.model} version {result.version}"
    if not result.regions and not result.segments:
        yield "  nothing found"
    if result.regions:
        yield f"  {'instance':<{_NAME_WIDTH}} {'score':>6} {'area px':>10}   box x1 y1 x2 y2"
    for region in result.regions:
        box = " ".join(f"{x:.0f}" for x in region.box)
        name = _name(region)
        yield f"  {name:<{_NAME_WIDTH}} {region.score:6.3f} {region.area:>10}   {box}"
    if result.segments:
        yield f"  {'class':<{_NAME_WIDTH}} {'score':>6} {'area px':>10}   share"
    whole = _pixels(result)
    for segment in result.segments:
        score = "-" if segment.score is None else f"{segment.score:.3f}"
        share = f"{segment.area / whole:6.1%}" if whole else ""
        yield f"  {_name(segment):<{_NAME_WIDTH}} {score:>6} {segment.area:>10}   {share}"
    timings = ", ".join(f"{name} {ms:.1f}" for name, ms in _timings_ms(result).items())
    yield f"  ms: {timings} (batch of {result.batch_size})"
    if result.refined is False:
        yield "  not refined: the time it may take was over, or too many others wait for it"
    if overlay is not None:
        yield f"  overlay: {overlay}"


def _pixels(result: SegmentResult) -> int:
    return result.map.height_px * result.map.width_px if result.map else 0


def _name(item: Region | Segment) -> str:
    return item.label or f"label {item.label_id}"
