"""Small models' specs, pictures, and families built as a config would build them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from segserve.core.messages import EncodedImage
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.factory import build_family
from segserve.families.family import Family

IMAGE = TensorSpec("image", DataType.FP32, (3, -1, -1))
LOGITS = TensorSpec("logits", DataType.FP32, (4, -1, -1))
DETECTIONS = (
    TensorSpec("boxes", DataType.FP32, (5, 4)),
    TensorSpec("scores", DataType.FP32, (5,)),
    TensorSpec("labels", DataType.INT64, (5,)),
    TensorSpec("valid", DataType.INT64, (1,)),
    TensorSpec("masks", DataType.FP32, (5, 28, 28)),
)

Build = Callable[..., Family]


@pytest.fixture
def semantic() -> Build:
    def build(labels: tuple[str, ...] = (), limit: int = 10**6, **parameters: str) -> Family:
        family = build_family(
            {"family": "semantic", **parameters},
            labels,
            (IMAGE,),
            (LOGITS,),
            max_image_pixels=limit,
        )
        assert family is not None
        return family

    return build


@pytest.fixture
def instance() -> Build:
    def build(labels: tuple[str, ...] = ("none", "a", "b"), **parameters: str) -> Family:
        family = build_family({"family": "instance", **parameters}, labels, (IMAGE,), DETECTIONS)
        assert family is not None
        return family

    return build


@pytest.fixture
def photo() -> Callable[..., EncodedImage]:
    def make(height: int = 40, width: int = 60, kind: str = "PNG") -> EncodedImage:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind)
        return EncodedImage(out.getvalue())

    return make
