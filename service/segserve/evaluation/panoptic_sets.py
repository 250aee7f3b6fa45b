"""COCO's panoptic annotations, read from their folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.client.conversion import Picture
from segserve.core.errors import InvalidInput, NotFound
from segserve.evaluation.instance_sets import ids_of_colours, read_json
from segserve.evaluation.panoptic_quality import PanopticSegment

PanopticTruth = tuple[npt.NDArray[np.int64], tuple[PanopticSegment, ...]]


@dataclass(frozen=True)
class PanopticImage:
    """One image with its truth, read when asked for.

    Parameters
    ----------
    name : str
    read_picture : callable
        Gives what `segserve.client.Client` takes.
    read_truth : callable
        Gives the map of segment ids int64 [H, W], 0 for void, and its segments.
    """

    name: str
    read_picture: Callable[[], Picture]
    read_truth: Callable[[], PanopticTruth]


@dataclass(frozen=True)
class PanopticSet:
    """Images, the category ids of the names that models' labels have, and which are things."""

    category_ids: Mapping[str, int]
    things: frozenset[int]
    images: tuple[PanopticImage, ...]


def open_coco_panoptic(root: Path, split: str = "val2017") -> PanopticSet:
    """Open COCO's panoptic annotations.

    Parameters
    ----------
    root : Path
        Holds the images in a folder named as the split, ``annotations/panoptic_*.json`` and the
        maps in ``annotations/panoptic_*/``.
    split : str
        Such as ``val2017``.

    Raises
    ------
    NotFound
        When the annotations are not there.
    InvalidInput
        When they are damaged, or name an image that is not among theirs.
    """
    path = root / "annotations" / f"panoptic_{split}.json"
    told = read_json(path)
    names = {int(image["id"]): str(image["file_name"]) for image in told["images"]}
    maps = root / "annotations" / f"panoptic_{split}"
    categories = told["categories"]
    strange = sorted({int(a["image_id"]) for a in told["annotations"]} - set(names))
    if strange:
        raise InvalidInput(
            f"{path}: annotations are of image {strange[0]}, which is not among the images"
        )
    return PanopticSet(
        {str(c["name"]): int(c["id"]) for c in categories},
        frozenset(int(c["id"]) for c in categories if c["isthing"]),
        tuple(
            PanopticImage(
                names[int(a["image_id"])],
                partial(Path, root / split / names[int(a["image_id"])]),
                partial(_truth, maps / a["file_name"], a["segments_info"]),
            )
            for a in told["annotations"]
        ),
    )


def _truth(path: Path, segments: list[Mapping[str, Any]]) -> PanopticTruth:
    from PIL import Image  # noqa: PLC0415  opens late

    if not path.is_file():
        raise NotFound(f"{path} is not there: unpack the panoptic maps beside their JSON file")
    with Image.open(path) as image:
        ids = ids_of_colours(np.asarray(image.convert("RGB")))
    return ids, tuple(
        PanopticSegment(int(s["id"]), int(s["category_id"]), bool(s.get("iscrowd", 0)))
        for s in segments
    )
