"""How well two answers agree, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segserve.core.regions import Rle


def same_bytes(theirs: Sequence[bytes], ours: Sequence[Rle]) -> str:
    """Count the masks whose RLE is byte for byte the same."""
    equal = sum(a == b.counts for a, b in zip(theirs, ours, strict=True))
    return f"{equal}/{len(ours)} RLE byte-identical"


def differing_pixels(theirs: Any, ours: Any) -> str:
    """Count the pixels that differ."""
    return f"{int(np.count_nonzero(np.asarray(theirs) != np.asarray(ours)))} px differ"


def equal(theirs: Any, ours: Any) -> str:
    """Say whether arrays are the same, and by how much they differ at most."""
    a, b = np.asarray(theirs), np.asarray(ours)
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    return "same" if np.array_equal(a, b) else f"max difference {np.abs(a - b).max():.2g}"
