"""What goes in and what comes out, after the protocol and before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.label_map import LabelMap
from segserve.core.options import DEFAULT_OPTIONS, SegmentOptions
from segserve.core.regions import Regions
from segserve.core.tensor import Array, Tensors

ParameterValue = bool | int | float | str


@dataclass(frozen=True)
class ModelRef:
    """A model by name; version None is the newest that the version policy serves."""

    name: str
    version: int | None = None

    def described(self) -> str:
        """Give the name, and the version where there is one, as they stand in messages."""
        return f"'{self.name}'" if self.version is None else f"'{self.name}' version {self.version}"


@dataclass(frozen=True)
class Timings:
    """Seconds each phase took, as stamped by whoever ran it (never subtracted from one another).

    For a request of several images each field is the largest of its images.

    Parameters
    ----------
    decode_s : float
        Decode, resize and normalise on the CPU pool.
    queue_s : float
        From entering the batcher's queues until an execution slot took it.
    batch_s : float
        Stacking the batch.
    infer_s : float
        The model's run.
    post_s : float
        Up-sampling, masks, encoding of masks on the CPU pool.
    encode_s : float
        Building the answer's bytes (0 until the transport has done so).
    """

    decode_s: float = 0.0
    queue_s: float = 0.0
    batch_s: float = 0.0
    infer_s: float = 0.0
    post_s: float = 0.0
    encode_s: float = 0.0

    @classmethod
    def slowest(cls, timings: Sequence[Timings]) -> Timings:
        """Give the largest of each phase over at least one image; encoding is not theirs."""
        return cls(
            decode_s=max(t.decode_s for t in timings),
            queue_s=max(t.queue_s for t in timings),
            batch_s=max(t.batch_s for t in timings),
            infer_s=max(t.infer_s for t in timings),
            post_s=max(t.post_s for t in timings),
        )


@dataclass(frozen=True)
class TraceContext:
    """A place in a trace, as W3C Trace Context writes it.

    Parameters
    ----------
    parent : str
        ``traceparent``, empty without one.
    state : str
        ``tracestate``.
    """

    parent: str = ""
    state: str = ""


NO_TRACE = TraceContext()


@dataclass(frozen=True)
class EncodedImage:
    """An image as it came: JPEG, PNG or WebP bytes, any bytes-like object."""

    data: bytes | memoryview


@dataclass(frozen=True)
class RawImage:
    """An image as pixels: uint8 [H, W, 3], RGB."""

    pixels: Array


Image = EncodedImage | RawImage


@dataclass(frozen=True)
class InferRequest:
    """Tensors in.

    Parameters
    ----------
    model : ModelRef
    inputs : Tensors
        With the batch axis when the model batches; arrays may be read-only views of the wire bytes.
    outputs : tuple of str
        Requested outputs, empty for all.
    id : str
    deadline : Deadline
    priority : int
        0 is the model's default level; 1 is the highest.
    queue_timeout_us : int
        Triton's `timeout` parameter; 0 for the model's own queue policy.
    options : SegmentOptions
        Used when BYTES images come in place of the model's image tensor.
    parameters : Mapping
        Whatever else the request carried.
    trace : TraceContext
        Of the caller.
    """

    model: ModelRef
    inputs: Tensors
    outputs: tuple[str, ...] = ()
    id: str = ""
    deadline: Deadline = NO_DEADLINE
    priority: int = 0
    queue_timeout_us: int = 0
    options: SegmentOptions = DEFAULT_OPTIONS
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    trace: TraceContext = NO_TRACE


@dataclass(frozen=True)
class InferResponse:
    """Tensors out, in the model's output order, with the concrete version that ran.

    `trace` is the request's own span.
    """

    model: ModelRef
    outputs: Tensors
    id: str = ""
    timings: Timings = field(default_factory=Timings)
    batch_size: int = 1
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    trace: TraceContext = NO_TRACE


@dataclass(frozen=True)
class SegmentRequest:
    """One image in."""

    model: ModelRef
    image: Image
    options: SegmentOptions = DEFAULT_OPTIONS
    id: str = ""
    deadline: Deadline = NO_DEADLINE
    priority: int = 0
    queue_timeout_us: int = 0
    trace: TraceContext = NO_TRACE


@dataclass(frozen=True)
class SegmentResponse:
    """What a family found in one image.

    Parameters
    ----------
    model : ModelRef
        With the concrete version that ran.
    model_digest : str
        ``sha256:`` over the version's files and its config.
    image_digest : str
        ``sha256:`` of the image's bytes as received.
    width_px, height_px : int
        Size of the source image after EXIF rotation.
    label_map : LabelMap or None
        For semantic and panoptic models.
    regions : Regions or None
        For instance models, and panoptic ones before merging.
    refined : bool or None
        None when no refinement was asked for; False when it was skipped.
    trace : TraceContext
        The request's own span.
    """

    model: ModelRef
    model_digest: str
    image_digest: str
    width_px: int
    height_px: int
    label_map: LabelMap | None = None
    regions: Regions | None = None
    refined: bool | None = None
    id: str = ""
    timings: Timings = field(default_factory=Timings)
    batch_size: int = 1
    trace: TraceContext = NO_TRACE
