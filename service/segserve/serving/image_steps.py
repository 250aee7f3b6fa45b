"""What one image's request does on a CPU thread, before the model and after it."""

from __future__ import annotations

import time
from hashlib import sha256

import numpy as np

from segserve.core.messages import EncodedImage, Image, RawImage
from segserve.core.options import SegmentOptions
from segserve.core.tensor import Array, Tensors
from segserve.families.family import Family, Findings, Plan


def image_bytes(image: Image) -> bytes | memoryview:
    """Give the bytes that came in: what the digest is of, and what the request holds."""
    match image:
        case EncodedImage(data):
            return data
        case RawImage(pixels):
            return np.ascontiguousarray(pixels).data.cast("B")


def prepare_image(
    family: Family, image: Image, plan: Plan, rows: dict[str, Array]
) -> tuple[str, float]:
    """Decode, resize and normalise into `rows`; gives the image's digest and the seconds taken."""
    start_s = time.perf_counter()
    family.preprocess(image, plan, rows)
    digest = "sha256:" + sha256(image_bytes(image)).hexdigest()
    return digest, time.perf_counter() - start_s


def finish_image(
    family: Family, plan: Plan, options: SegmentOptions, outputs: Tensors
) -> tuple[Findings, float]:
    """Turn one image's outputs into regions or a map; gives them and the seconds taken."""
    start_s = time.perf_counter()
    findings = family.postprocess(outputs, plan, options)
    return findings, time.perf_counter() - start_s
