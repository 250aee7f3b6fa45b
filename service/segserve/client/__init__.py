"""Segserve's client: images in, typed results with numpy masks out.

Needs grpcio, protobuf and numpy alone, and loads no KServe messages, so that it can live in one
process with tritonclient.
"""

from segserve.client.async_client import AsyncClient
from segserve.client.coco import to_coco
from segserve.client.errors import SegserveError
from segserve.client.masks import (
    label_map_from_rles,
    mask_to_rle,
    rle_area,
    rle_box,
    rle_to_mask,
)
from segserve.client.png import read_label_map
from segserve.client.result import EncodedMap, Region, Segment, SegmentResult, StreamAnswer
from segserve.client.retry import RetryPolicy
from segserve.client.sync_client import Client
from segserve.core.errors import ErrorKind
from segserve.core.options import MaskFormat, OutputSize, Refine, SegmentOptions
from segserve.core.regions import Rle

__all__ = [
    "AsyncClient",
    "Client",
    "EncodedMap",
    "ErrorKind",
    "MaskFormat",
    "OutputSize",
    "Refine",
    "Region",
    "RetryPolicy",
    "Rle",
    "Segment",
    "SegmentOptions",
    "SegmentResult",
    "SegserveError",
    "StreamAnswer",
    "label_map_from_rles",
    "mask_to_rle",
    "read_label_map",
    "rle_area",
    "rle_box",
    "rle_to_mask",
    "to_coco",
]
