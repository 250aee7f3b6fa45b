"""Between Python values and `segserve.v1` messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.client.errors import SegserveError, unreadable
from segserve.client.result import EncodedMap, Region, Segment, SegmentResult
from segserve.core.errors import ErrorKind
from segserve.core.messages import Timings
from segserve.core.options import DEFAULT_OPTIONS, SegmentOptions
from segserve.core.regions import Rle
from segserve.generated.segserve.v1 import segmentation_pb2 as pb

Picture = bytes | bytearray | memoryview | str | Path | npt.NDArray[np.uint8]
"""An encoded JPEG, PNG or WebP, the path of one, or pixels: uint8 [H, W, 3], RGB."""


@dataclass(frozen=True)
class Job:
    """What to do with images: the part of a request that many images share.

    Parameters
    ----------
    model : str
    version : int, optional
        The newest that is served where it is left out.
    options : SegmentOptions
    priority : int, optional
        1 is the highest; the model's default level where it is left out.
    """

    model: str
    version: int | None = None
    options: SegmentOptions = DEFAULT_OPTIONS
    priority: int | None = None


def to_request(picture: Picture, job: Job, request_id: str = "") -> pb.SegmentRequest:
    """Build the message for one image.

    Raises
    ------
    SegserveError
        When the file cannot be read, the array is no RGB image, or an option is out of range.
    """
    version = "" if job.version is None else str(job.version)
    request = pb.SegmentRequest(model_name=job.model, model_version=version, id=request_id)
    if isinstance(picture, np.ndarray):
        _put_pixels(request.raw, picture)
    else:
        request.encoded = _encoded(picture)
    try:
        _put_options(request.options, job.options)
        if job.options.prompts:
            request.prompts.CopyFrom(_prompts(job.options))
        if job.priority is not None:
            request.priority = job.priority
    except ValueError as error:
        raise unreadable(f"an option is out of range: {error}") from error
    return request


def _encoded(picture: bytes | bytearray | memoryview | str | Path) -> bytes:
    if isinstance(picture, str | Path):
        try:
            return Path(picture).read_bytes()
        except OSError as error:
            raise unreadable(f"cannot read '{picture}': {error.strerror}") from error
    return bytes(picture)


def _put_pixels(raw: pb.RawImage, pixels: npt.NDArray[Any]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:  # noqa: PLR2004  [H, W, 3]
        raise unreadable(
            f"an image array is uint8 [H, W, 3] in RGB, got {pixels.dtype} {list(pixels.shape)}"
        )
    raw.height_px, raw.width_px = pixels.shape[:2]
    raw.data = pixels.tobytes()


def _put_options(message: pb.SegmentOptions, options: SegmentOptions) -> None:
    """Set what is set; an enum's value has the name of its field in front."""
    for field in (
        "score_threshold",
        "top_k",
        "min_area_px",
        "mask_format",
        "refine",
        "output_size",
    ):
        value = getattr(options, field)
        if isinstance(value, Enum):
            value = getattr(pb, f"{field.upper()}_{value.name}")
        if value is not None:
            setattr(message, field, value)
    message.label_ids.extend(options.label_ids or ())
    message.parameters.update(options.parameters)


def _prompts(options: SegmentOptions) -> pb.Prompts:
    message = pb.Prompts()
    for prompt in options.prompts:
        one = message.prompts.add(
            points=[pb.Point(x=p.x, y=p.y, inside=p.inside) for p in prompt.points]
        )
        if prompt.box is not None:
            one.box.x1, one.box.y1, one.box.x2, one.box.y2 = prompt.box
        if prompt.mask is not None:
            rle = prompt.mask
            one.mask.height_px, one.mask.width_px = rle.height_px, rle.width_px
            one.mask.counts = rle.counts
    return message


def from_response(answer: pb.SegmentResponse) -> SegmentResult:
    """Read an answer; masks stay encoded.

    Raises
    ------
    SegserveError
        When the columns of the instances do not have one length.
    """
    has_map = answer.HasField("label_map")
    version = answer.model_version
    return SegmentResult(
        model=answer.model_name,
        version=int(version) if version.isdecimal() else 0,
        model_digest=answer.model_digest,
        image_digest=answer.image_digest,
        width_px=answer.width_px,
        height_px=answer.height_px,
        regions=_regions(answer.regions) if answer.HasField("regions") else (),
        segments=tuple(_segment(s) for s in answer.label_map.segments) if has_map else (),
        map=_map(answer.label_map) if has_map else None,
        timings=_timings(answer.timings),
        batch_size=answer.batch_size,
        refined=answer.refined if answer.HasField("refined") else None,
        id=answer.id,
    )


def _timings(told: pb.Timings) -> Timings:
    phases = ("decode", "queue", "batch", "infer", "post", "encode")
    return Timings(**{f"{phase}_s": getattr(told, f"{phase}_us") / 1e6 for phase in phases})


def _map(label_map: pb.LabelMap) -> EncodedMap:
    kind = label_map.WhichOneof("map")
    return EncodedMap(
        height_px=label_map.height_px,
        width_px=label_map.width_px,
        png=label_map.png if kind == "png" else None,
        raw=label_map.raw.data if kind == "raw" else None,
        bytes_per_pixel=label_map.raw.bytes_per_pixel if kind == "raw" else 1,
    )


def _segment(segment: pb.Segment) -> Segment:
    mask = segment.mask
    return Segment(
        segment_id=segment.segment_id,
        label_id=segment.label_id,
        label=segment.label,
        area=segment.area_px,
        is_thing=segment.is_thing,
        score=segment.score if segment.HasField("score") else None,
        mask=Rle(mask.height_px, mask.width_px, mask.counts) if segment.HasField("mask") else None,
    )


def _regions(columns: pb.Regions) -> tuple[Region, ...]:
    count, depth = len(columns.scores), columns.descriptor_size
    optional = (columns.labels, columns.mask_counts, columns.region_ids)
    lengths = {
        len(columns.boxes) / 4,
        *map(len, (columns.label_ids, columns.areas_px)),
        *(len(column) for column in optional if column),
    }
    if lengths != {count} or (columns.descriptors and len(columns.descriptors) != depth * count):
        raise SegserveError(
            ErrorKind.INTERNAL, f"the answer's columns have lengths {sorted(lengths)}, not {count}"
        )
    return tuple(_region(columns, n) for n in range(count))


def _region(columns: pb.Regions, n: int) -> Region:
    mask = None
    if columns.mask_counts:
        mask = Rle(columns.mask_height_px, columns.mask_width_px, columns.mask_counts[n])
    x1, y1, x2, y2 = columns.boxes[4 * n : 4 * n + 4]
    depth = columns.descriptor_size
    return Region(
        box=(x1, y1, x2, y2),
        score=columns.scores[n],
        label_id=columns.label_ids[n],
        label=columns.labels[n] if columns.labels else "",
        area=columns.areas_px[n],
        mask=mask,
        region_id=columns.region_ids[n] if columns.region_ids else "",
        descriptor=tuple(columns.descriptors[depth * n : depth * (n + 1)]),
    )
