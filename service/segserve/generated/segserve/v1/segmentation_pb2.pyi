from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MaskFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASK_FORMAT_UNSPECIFIED: _ClassVar[MaskFormat]
    MASK_FORMAT_RLE: _ClassVar[MaskFormat]
    MASK_FORMAT_PNG: _ClassVar[MaskFormat]
    MASK_FORMAT_RAW: _ClassVar[MaskFormat]
    MASK_FORMAT_NONE: _ClassVar[MaskFormat]

class Refine(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFINE_UNSPECIFIED: _ClassVar[Refine]
    REFINE_NONE: _ClassVar[Refine]
    REFINE_DENSE_CRF: _ClassVar[Refine]

class OutputSize(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_SIZE_UNSPECIFIED: _ClassVar[OutputSize]
    OUTPUT_SIZE_SOURCE: _ClassVar[OutputSize]
    OUTPUT_SIZE_STRIDE: _ClassVar[OutputSize]

class ErrorKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_KIND_UNSPECIFIED: _ClassVar[ErrorKind]
    ERROR_KIND_INVALID_ARGUMENT: _ClassVar[ErrorKind]
    ERROR_KIND_TOO_LARGE: _ClassVar[ErrorKind]
    ERROR_KIND_NOT_FOUND: _ClassVar[ErrorKind]
    ERROR_KIND_ALREADY_EXISTS: _ClassVar[ErrorKind]
    ERROR_KIND_UNSUPPORTED: _ClassVar[ErrorKind]
    ERROR_KIND_UNAVAILABLE: _ClassVar[ErrorKind]
    ERROR_KIND_OVERLOADED: _ClassVar[ErrorKind]
    ERROR_KIND_QUEUE_TIMEOUT: _ClassVar[ErrorKind]
    ERROR_KIND_DEADLINE_EXCEEDED: _ClassVar[ErrorKind]
    ERROR_KIND_CANCELLED: _ClassVar[ErrorKind]
    ERROR_KIND_INTERNAL: _ClassVar[ErrorKind]
MASK_FORMAT_UNSPECIFIED: MaskFormat
MASK_FORMAT_RLE: MaskFormat
MASK_FORMAT_PNG: MaskFormat
MASK_FORMAT_RAW: MaskFormat
MASK_FORMAT_NONE: MaskFormat
REFINE_UNSPECIFIED: Refine
REFINE_NONE: Refine
REFINE_DENSE_CRF: Refine
OUTPUT_SIZE_UNSPECIFIED: OutputSize
OUTPUT_SIZE_SOURCE: OutputSize
OUTPUT_SIZE_STRIDE: OutputSize
ERROR_KIND_UNSPECIFIED: ErrorKind
ERROR_KIND_INVALID_ARGUMENT: ErrorKind
ERROR_KIND_TOO_LARGE: ErrorKind
ERROR_KIND_NOT_FOUND: ErrorKind
ERROR_KIND_ALREADY_EXISTS: ErrorKind
ERROR_KIND_UNSUPPORTED: ErrorKind
ERROR_KIND_UNAVAILABLE: ErrorKind
ERROR_KIND_OVERLOADED: ErrorKind
ERROR_KIND_QUEUE_TIMEOUT: ErrorKind
ERROR_KIND_DEADLINE_EXCEEDED: ErrorKind
ERROR_KIND_CANCELLED: ErrorKind
ERROR_KIND_INTERNAL: ErrorKind

class SegmentRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "id", "encoded", "raw", "options", "priority", "queue_timeout_us", "prompts")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    id: str
    encoded: bytes
    raw: RawImage
    options: SegmentOptions
    priority: int
    queue_timeout_us: int
    prompts: Prompts
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., id: _Optional[str] = ..., encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ..., options: _Optional[_Union[SegmentOptions, _Mapping]] = ..., priority: _Optional[int] = ..., queue_timeout_us: _Optional[int] = ..., prompts: _Optional[_Union[Prompts, _Mapping]] = ...) -> None: ...

class RawImage(_message.Message):
    __slots__ = ("width_px", "height_px", "data")
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    width_px: int
    height_px: int
    data: bytes
    def __init__(self, width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SegmentOptions(_message.Message):
    __slots__ = ("mask_format", "score_threshold", "top_k", "min_area_px", "label_ids", "refine", "output_size", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MASK_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MIN_AREA_PX_FIELD_NUMBER: _ClassVar[int]
    LABEL_IDS_FIELD_NUMBER: _ClassVar[int]
    REFINE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    mask_format: MaskFormat
    score_threshold: float
    top_k: int
    min_area_px: int
    label_ids: _containers.RepeatedScalarFieldContainer[int]
    refine: Refine
    output_size: OutputSize
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, mask_format: _Optional[_Union[MaskFormat, str]] = ..., score_threshold: _Optional[float] = ..., top_k: _Optional[int] = ..., min_area_px: _Optional[int] = ..., label_ids: _Optional[_Iterable[int]] = ..., refine: _Optional[_Union[Refine, str]] = ..., output_size: _Optional[_Union[OutputSize, str]] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Prompts(_message.Message):
    __slots__ = ("prompts",)
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("points", "box", "mask")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[Point]
    box: Box
    mask: Rle
    def __init__(self, points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., mask: _Optional[_Union[Rle, _Mapping]] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y", "inside")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    inside: bool
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., inside: _Optional[bool] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x1", "y1", "x2", "y2")
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    x1: float
    y1: float
    x2: float
    y2: float
    def __init__(self, x1: _Optional[float] = ..., y1: _Optional[float] = ..., x2: _Optional[float] = ..., y2: _Optional[float] = ...) -> None: ...

class SegmentResponse(_message.Message):
    __slots__ = ("id", "model_name", "model_version", "model_digest", "image_digest", "width_px", "height_px", "timings", "batch_size", "refined", "label_map", "regions")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    REFINED_FIELD_NUMBER: _ClassVar[int]
    LABEL_MAP_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    model_name: str
    model_version: str
    model_digest: str
    image_digest: str
    width_px: int
    height_px: int
    timings: Timings
    batch_size: int
    refined: bool
    label_map: LabelMap
    regions: Regions
    def __init__(self, id: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., model_digest: _Optional[str] = ..., image_digest: _Optional[str] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., batch_size: _Optional[int] = ..., refined: _Optional[bool] = ..., label_map: _Optional[_Union[LabelMap, _Mapping]] = ..., regions: _Optional[_Union[Regions, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_us", "queue_us", "batch_us", "infer_us", "post_us", "encode_us")
    DECODE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    BATCH_US_FIELD_NUMBER: _ClassVar[int]
    INFER_US_FIELD_NUMBER: _ClassVar[int]
    POST_US_FIELD_NUMBER: _ClassVar[int]
    ENCODE_US_FIELD_NUMBER: _ClassVar[int]
    decode_us: int
    queue_us: int
    batch_us: int
    infer_us: int
    post_us: int
    encode_us: int
    def __init__(self, decode_us: _Optional[int] = ..., queue_us: _Optional[int] = ..., batch_us: _Optional[int] = ..., infer_us: _Optional[int] = ..., post_us: _Optional[int] = ..., encode_us: _Optional[int] = ...) -> None: ...

class Rle(_message.Message):
    __slots__ = ("height_px", "width_px", "counts")
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    height_px: int
    width_px: int
    counts: bytes
    def __init__(self, height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., counts: _Optional[bytes] = ...) -> None: ...

class LabelMap(_message.Message):
    __slots__ = ("height_px", "width_px", "segments", "png", "raw")
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    height_px: int
    width_px: int
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    png: bytes
    raw: RawMap
    def __init__(self, height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., png: _Optional[bytes] = ..., raw: _Optional[_Union[RawMap, _Mapping]] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("segment_id", "label_id", "label", "area_px", "is_thing", "score", "mask")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    AREA_PX_FIELD_NUMBER: _ClassVar[int]
    IS_THING_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    segment_id: int
    label_id: int
    label: str
    area_px: int
    is_thing: bool
    score: float
    mask: Rle
    def __init__(self, segment_id: _Optional[int] = ..., label_id: _Optional[int] = ..., label: _Optional[str] = ..., area_px: _Optional[int] = ..., is_thing: _Optional[bool] = ..., score: _Optional[float] = ..., mask: _Optional[_Union[Rle, _Mapping]] = ...) -> None: ...

class RawMap(_message.Message):
    __slots__ = ("bytes_per_pixel", "data")
    BYTES_PER_PIXEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    bytes_per_pixel: int
    data: bytes
    def __init__(self, bytes_per_pixel: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Regions(_message.Message):
    __slots__ = ("boxes", "scores", "label_ids", "labels", "areas_px", "mask_counts", "mask_height_px", "mask_width_px", "region_ids", "descriptors", "descriptor_size")
    BOXES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    LABEL_IDS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AREAS_PX_FIELD_NUMBER: _ClassVar[int]
    MASK_COUNTS_FIELD_NUMBER: _ClassVar[int]
    MASK_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    MASK_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    REGION_IDS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTOR_SIZE_FIELD_NUMBER: _ClassVar[int]
    boxes: _containers.RepeatedScalarFieldContainer[float]
    scores: _containers.RepeatedScalarFieldContainer[float]
    label_ids: _containers.RepeatedScalarFieldContainer[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    areas_px: _containers.RepeatedScalarFieldContainer[int]
    mask_counts: _containers.RepeatedScalarFieldContainer[bytes]
    mask_height_px: int
    mask_width_px: int
    region_ids: _containers.RepeatedScalarFieldContainer[str]
    descriptors: _containers.RepeatedScalarFieldContainer[float]
    descriptor_size: int
    def __init__(self, boxes: _Optional[_Iterable[float]] = ..., scores: _Optional[_Iterable[float]] = ..., label_ids: _Optional[_Iterable[int]] = ..., labels: _Optional[_Iterable[str]] = ..., areas_px: _Optional[_Iterable[int]] = ..., mask_counts: _Optional[_Iterable[bytes]] = ..., mask_height_px: _Optional[int] = ..., mask_width_px: _Optional[int] = ..., region_ids: _Optional[_Iterable[str]] = ..., descriptors: _Optional[_Iterable[float]] = ..., descriptor_size: _Optional[int] = ...) -> None: ...

class SegmentStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: SegmentRequest
    def __init__(self, request: _Optional[_Union[SegmentRequest, _Mapping]] = ...) -> None: ...

class SegmentStreamResponse(_message.Message):
    __slots__ = ("id", "response", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    response: SegmentResponse
    error: Error
    def __init__(self, id: _Optional[str] = ..., response: _Optional[_Union[SegmentResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("kind", "message", "retry_after_us")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    kind: ErrorKind
    message: str
    retry_after_us: int
    def __init__(self, kind: _Optional[_Union[ErrorKind, str]] = ..., message: _Optional[str] = ..., retry_after_us: _Optional[int] = ...) -> None: ...
