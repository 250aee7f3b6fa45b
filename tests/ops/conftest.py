"""Pictures to decode."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A smooth RGB picture, 40 rows of 61, different along both axes and in each channel."""
    y, x = np.mgrid[:40, :61]
    return np.stack([x * 4, y * 6, (x + y) * 2], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def encode() -> Encode:
    def save(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **how) -> bytes:
        image = Image.fromarray(pixels)
        if mode is not None:
            image = image.convert(mode)
        out = io.BytesIO()
        image.save(out, kind, **how)
        return out.getvalue()

    return save
