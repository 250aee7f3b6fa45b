"""Data sets of instances: COCO from its folders, and the synthetic scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.client.conversion import Picture
from segserve.core.errors import InvalidInput, NotFound
from segserve.evaluation.coco_masks import read_segmentation
from segserve.evaluation.coco_match import Truth
from segserve.evaluation.semantic_sets import scene
from segserve.ops.rle import area, encode, to_bbox
from segserve.scenes import CLASS_NAMES

_PARTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class InstanceImage:
    """One image with its annotations, read when asked for.

    Parameters
    ----------
    image_id : int
    read_picture : callable
        Gives what `segserve.client.Client` takes.
    read_truths : callable
        Gives the annotated instances.
    """

    image_id: int
    read_picture: Callable[[], Picture]
    read_truths: Callable[[], tuple[Truth, ...]]

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.image_id)


@dataclass(frozen=True)
class InstanceSet:
    """Images, and the category ids of the names that models' labels have."""

    category_ids: Mapping[str, int]
    images: tuple[InstanceImage, ...]


def open_coco(root: Path, split: str = "val2017") -> InstanceSet:
    """Open COCO.

    Parameters
    ----------
    root : Path
        Holds the images in a folder named as the split, and ``annotations/instances_*.json``.
    split : str
        Such as ``val2017``.

    Raises
    ------
    NotFound
        When the annotations are not there.
    InvalidInput
        When they are damaged, or name an image that is not among theirs.
    """
    path = root / "annotations" / f"instances_{split}.json"
    told = read_json(path)
    images = {int(image["id"]): image for image in told["images"]}
    by_image: dict[int, list[Mapping[str, Any]]] = {image_id: [] for image_id in images}
    for annotation in told["annotations"]:
        if annotation["image_id"] not in by_image:
            raise InvalidInput(
                f"{path}: annotation {annotation.get('id')} is of image {annotation['image_id']}, "
                "which is not among the images"
            )
        by_image[int(annotation["image_id"])].append(annotation)
    return InstanceSet(
        {str(c["name"]): int(c["id"]) for c in told["categories"]},
        tuple(
            InstanceImage(
                image_id,
                partial(Path, root / split / image["file_name"]),
                partial(_coco_truths, by_image[image_id], image),
            )
            for image_id, image in sorted(images.items())
        ),
    )


def _coco_truths(
    annotations: list[Mapping[str, Any]], image: Mapping[str, Any]
) -> tuple[Truth, ...]:
    height, width = int(image["height"]), int(image["width"])
    return tuple(
        Truth(
            image_id=int(a["image_id"]),
            category_id=int(a["category_id"]),
            box=tuple(float(v) for v in a["bbox"]),  # type: ignore[arg-type]  # COCO's have four
            area=float(a["area"]),
            mask=read_segmentation(a["segmentation"], height, width),
            is_crowd=bool(a.get("iscrowd", 0)),
        )
        for a in annotations
    )


def synthetic_instances(count: int) -> InstanceSet:
    """Give the held-out scenes; what is left to see of a shape is its mask."""
    return InstanceSet(
        {name: label for label, name in enumerate(CLASS_NAMES) if label},
        tuple(
            InstanceImage(index, partial(_scene_image, index), partial(_scene_truths, index))
            for index in range(count)
        ),
    )


def _scene_image(index: int) -> Picture:
    return scene(index).image


def _scene_truths(index: int) -> tuple[Truth, ...]:
    drawn = scene(index)
    truths = []
    for number, label in enumerate(drawn.instance_labels, start=1):
        mask = encode(drawn.instances == number)
        x1, y1, x2, y2 = to_bbox(mask)
        if x2 > x1:
            box = (float(x1), float(y1), float(x2 - x1), float(y2 - y1))
            truths.append(Truth(index, label, box, float(area(mask)), mask))
    return tuple(truths)


def read_json(path: Path) -> Mapping[str, Any]:
    """Read one of COCO's annotation files.

    Raises
    ------
    NotFound
        When it is not there, or names no images.
    InvalidInput
        When it is no such file.
    """
    if not path.is_file():
        raise NotFound(f"{path} is not there: is --root the folder that holds annotations/?")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON, is it damaged? {error}") from error
    missing = [k for k in _PARTS if not isinstance(told, Mapping) or k not in told]
    if missing:
        raise InvalidInput(
            f"{path} holds no {', '.join(missing)}: expected annotations with truths, as COCO has "
            "them of train2017 and val2017"
        )
    if not told["images"]:
        raise NotFound(f"{path} names no images: there is nothing to score")
    annotations: Mapping[str, Any] = told
    return annotations


def ids_of_colours(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Give the segment ids in a panoptic PNG: R + 256 G + 65536 B of uint8 [H, W, 3]."""
    return np.asarray(rgb.astype(np.int64) @ np.array([1, 256, 65536]))
