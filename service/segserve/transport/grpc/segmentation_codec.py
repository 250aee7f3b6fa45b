"""Messages of ``segserve.v1``: bytes-like in, bytes out; large images are views of the message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from segserve.core.errors import InvalidInput, ServiceError
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import (
    EncodedImage,
    Image,
    RawImage,
    SegmentRequest,
    SegmentResponse,
    Timings,
)
from segserve.core.options import (
    DEFAULT_OPTIONS,
    MaskFormat,
    OutputSize,
    Refine,
    SegmentOptions,
)
from segserve.core.prompts import Point, Prompt
from segserve.core.regions import Regions, Rle
from segserve.generated.segserve.v1 import segmentation_pb2 as pb
from segserve.transport.grpc.codec import parse
from segserve.transport.grpc.wire import Scan, bytes_field_head, scan
from segserve.transport.kserve import Call, model_ref
from segserve.transport.parameters import checked
from segserve.transport.status import message_of
from segserve.transport.tensor_bytes import Buffer

E = TypeVar("E", bound=Enum)
_ENCODED, _RAW, _RAW_DATA, _STREAMED, _STREAM_RESPONSE = 4, 5, 3, 1, 2
_IMAGES = frozenset((_ENCODED, _RAW))
_CHANNELS = 3
_COPIED_BYTES = 64 << 10  # a copy of less takes less time than looking for the image in it


def decode_request(data: Buffer, call: Call) -> SegmentRequest:
    """Read a SegmentRequest.

    Raises
    ------
    InvalidInput, Unsupported
        Saying what is wrong with the message.
    """
    message, image = _split(memoryview(data))
    return SegmentRequest(
        model=model_ref(message.model_name, message.model_version),
        image=image,
        options=_options(message),
        id=message.id,
        deadline=call.deadline,
        priority=message.priority,
        queue_timeout_us=message.queue_timeout_us,
        trace=call.trace,
    )


def streamed_request(data: Buffer) -> Buffer:
    """Give the SegmentRequest inside a SegmentStreamRequest, as a view where that can be.

    Raises
    ------
    InvalidInput
        When the bytes are no such message.
    """
    parts = scan(memoryview(data), frozenset((_STREAMED,)))
    if parts is not None and len(parts.found) == 1:
        return parts.found[0][1]
    return parse(pb.SegmentStreamRequest, data).request.SerializeToString()


def request_id(data: Buffer) -> str:
    """Read the id of a SegmentRequest that may be broken elsewhere; empty if it cannot be read."""
    try:
        parts = scan(memoryview(data), _IMAGES)
        return "" if parts is None else parse(pb.SegmentRequest, parts.rest).id
    except InvalidInput:  # the caller reports this very error; only the id is lost
        return ""


def _split(data: memoryview) -> tuple[pb.SegmentRequest, Image]:
    parts = scan(data, _IMAGES) if len(data) > _COPIED_BYTES else None
    if parts is not None and len(parts.found) == 1:
        message = parse(pb.SegmentRequest, parts.rest)
        number, view = parts.found[0]
        return message, EncodedImage(view) if number == _ENCODED else _raw(message, view)
    message = parse(pb.SegmentRequest, data)
    choice = message.WhichOneof("image")
    if choice is None:
        raise InvalidInput(
            f"the request for model '{message.model_name}' has no image: set `encoded` or `raw`"
        )
    if choice == "encoded":
        return message, EncodedImage(message.encoded)
    return message, _pixels(message.model_name, message.raw, message.raw.data)


def _raw(message: pb.SegmentRequest, view: memoryview) -> RawImage:
    parts: Scan | None = scan(view, frozenset((_RAW_DATA,)))
    if parts is not None and len(parts.found) == 1:
        sizes = parse(pb.RawImage, parts.rest)
        return _pixels(message.model_name, sizes, parts.found[0][1])
    image = parse(pb.RawImage, view)
    return _pixels(message.model_name, image, image.data)


def _pixels(model: str, sizes: pb.RawImage, data: Buffer) -> RawImage:
    height_px, width_px = sizes.height_px, sizes.width_px
    want_bytes = height_px * width_px * _CHANNELS
    if want_bytes == 0 or len(data) != want_bytes:
        raise InvalidInput(
            f"raw image for model '{model}': {width_px} x {height_px} RGB pixels need {want_bytes} "
            f"bytes, got {len(data)}; an image has at least one pixel"
        )
    return RawImage(np.frombuffer(data, dtype=np.uint8).reshape(height_px, width_px, _CHANNELS))


def _options(request: pb.SegmentRequest) -> SegmentOptions:
    if not (request.HasField("options") or request.HasField("prompts")):
        return DEFAULT_OPTIONS
    message, prompts = request.options, request.prompts

    def given(name: str) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    return checked(
        SegmentOptions(
            mask_format=_choice("MASK_FORMAT", pb.MaskFormat, message.mask_format, MaskFormat),
            score_threshold=given("score_threshold"),
            top_k=given("top_k"),
            min_area_px=given("min_area_px"),
            label_ids=tuple(message.label_ids) or None,
            refine=_choice("REFINE", pb.Refine, message.refine, Refine),
            output_size=_choice("OUTPUT_SIZE", pb.OutputSize, message.output_size, OutputSize),
            parameters=dict(message.parameters),
            prompts=tuple(map(_prompt, prompts.prompts)),
        )
    )


def _prompt(message: pb.Prompt) -> Prompt:
    box, mask = message.box, message.mask
    return Prompt(
        points=tuple(Point(p.x, p.y, p.inside) for p in message.points),
        box=(box.x1, box.y1, box.x2, box.y2) if message.HasField("box") else None,
        mask=Rle(mask.height_px, mask.width_px, mask.counts) if message.HasField("mask") else None,
    )


def _choice(prefix: str, names: Any, value: int, kind: type[E]) -> E | None:
    if value == 0:
        return None
    if value not in names.values():
        known = ", ".join(names.keys()[1:])
        raise InvalidInput(f"unknown {prefix.lower()} {value}; expected one of {known}")
    return kind(names.Name(value).removeprefix(f"{prefix}_").lower())


def encode_response(response: SegmentResponse, labels: Sequence[str]) -> bytes:
    """Write a SegmentResponse.

    Parameters
    ----------
    labels : sequence of str
        The model's label names by id; may be empty.
    """
    start_s = time.perf_counter()
    message = response_message(response, labels)
    message.timings.encode_us = round((time.perf_counter() - start_s) * 1e6)
    return message.SerializeToString()


def response_message(response: SegmentResponse, labels: Sequence[str]) -> pb.SegmentResponse:
    """Build a SegmentResponse."""
    message = pb.SegmentResponse(
        id=response.id,
        model_name=response.model.name,
        model_version=str(response.model.version),
        model_digest=response.model_digest,
        image_digest=response.image_digest,
        width_px=response.width_px,
        height_px=response.height_px,
        timings=_timings(response.timings),
        batch_size=response.batch_size,
        refined=response.refined,
    )
    if response.label_map is not None:
        _fill_label_map(message.label_map, response.label_map, labels)
    if response.regions is not None:
        _fill_regions(message.regions, response.regions, labels)
    return message


def _timings(times: Timings) -> pb.Timings:
    return pb.Timings(
        decode_us=round(times.decode_s * 1e6),
        queue_us=round(times.queue_s * 1e6),
        batch_us=round(times.batch_s * 1e6),
        infer_us=round(times.infer_s * 1e6),
        post_us=round(times.post_s * 1e6),
    )


def _name(labels: Sequence[str], label_id: int) -> str:
    return labels[label_id] if 0 <= label_id < len(labels) else ""


def _fill_label_map(message: pb.LabelMap, label_map: LabelMap, labels: Sequence[str]) -> None:
    """Fill a map in its place: a message that is made apart is copied, masks and all."""
    message.height_px, message.width_px = label_map.height_px, label_map.width_px
    for segment in label_map.segments:
        _add_segment(message, segment, labels)
    if label_map.png is not None:
        message.png = label_map.png
    if label_map.labels is not None:
        values = label_map.labels
        message.raw.bytes_per_pixel = values.itemsize
        message.raw.data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _add_segment(message: pb.LabelMap, segment: Segment, labels: Sequence[str]) -> None:
    added = message.segments.add(
        segment_id=segment.segment_id,
        label_id=segment.label_id,
        label=_name(labels, segment.label_id),
        area_px=segment.area,
        is_thing=segment.is_thing,
        score=segment.score,
    )
    mask = segment.mask
    if mask is not None:
        rle = added.mask
        rle.height_px, rle.width_px, rle.counts = mask.height_px, mask.width_px, mask.counts


def _fill_regions(message: pb.Regions, regions: Regions, labels: Sequence[str]) -> None:
    message.SetInParent()  # there, though nothing was found
    ids = regions.labels.tolist()
    message.boxes.extend(regions.boxes.ravel().tolist())
    message.scores.extend(regions.scores.tolist())
    message.label_ids.extend(ids)
    if labels:
        message.labels.extend(_name(labels, label_id) for label_id in ids)
    message.areas_px.extend(regions.areas.tolist())
    message.mask_counts.extend(mask.counts for mask in regions.masks)
    message.region_ids.extend(regions.region_id)
    if regions.masks:
        message.mask_height_px = regions.masks[0].height_px
        message.mask_width_px = regions.masks[0].width_px
    if regions.descriptors is not None:
        message.descriptors.extend(regions.descriptors.ravel().tolist())
        message.descriptor_size = regions.descriptors.shape[1]


def encode_streamed(request: str, outcome: bytes | ServiceError) -> bytes:
    """Write a SegmentStreamResponse for the request of that id: a SegmentResponse, or an error."""
    envelope: bytes = pb.SegmentStreamResponse(id=request).SerializeToString()
    if isinstance(outcome, bytes):
        return b"".join((envelope, bytes_field_head(_STREAM_RESPONSE, len(outcome)), outcome))
    retry_s = outcome.retry_after_s
    error = pb.Error(
        kind=f"ERROR_KIND_{outcome.kind.name}",
        message=message_of(outcome),
        retry_after_us=None if retry_s is None else round(retry_s * 1e6),
    )
    return envelope + pb.SegmentStreamResponse(error=error).SerializeToString()
