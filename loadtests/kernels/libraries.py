"""What users install for the same work, written once; every library may be missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

Library = Any


def find(name: str) -> Library | None:
    """Import a library, held to one thread where it has threads of its own; None without it."""
    try:
        library = importlib.import_module(name)
    except ImportError:
        return None
    if name == "torch":
        library.set_num_threads(1)
    if name == "cv2":
        library.setNumThreads(1)
    return library


def needs(*names: str) -> tuple[list[Library], str]:
    """Import all of `names`; gives them, and why they cannot be used ("" when they can)."""
    found = [find(name) for name in names]
    missing = [name for name, library in zip(names, found, strict=True) if library is None]
    return found, f"not installed: {', '.join(missing)}" if missing else ""


def encoder() -> Callable[[Any], bytes]:
    """Give pycocotools' encoding of one mask [H, W]."""
    tool = importlib.import_module("pycocotools.mask")

    def encode(mask: Any) -> bytes:
        counts: bytes = tool.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
        return counts

    return encode


def interpolate(torch: Library, planes: Any, size: tuple[int, int]) -> Any:
    """Resize [1, C, h, w] bilinearly."""
    return torch.nn.functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
