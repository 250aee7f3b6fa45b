"""Stable names for regions, so that re-indexing an image replaces its rows instead of adding."""

from __future__ import annotations

from hashlib import blake2b

from segserve.core.regions import Regions


def region_ids(image_digest: str, model_digest: str, regions: Regions) -> tuple[str, ...]:
    """Give one id per region: 32 hex digits, equal for equal image, model, box and label.

    Boxes are rounded to 1/16 pixel first, so that the last bits of a float do not change an id.
    """
    prefix = f"{image_digest}|{model_digest}|".encode()
    return tuple(
        blake2b(
            prefix + f"{[round(float(x) * 16) for x in box]}|{int(label)}".encode(), digest_size=16
        ).hexdigest()
        for box, label in zip(regions.boxes, regions.labels, strict=True)
    )
