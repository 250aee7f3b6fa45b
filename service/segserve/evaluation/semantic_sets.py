"""Data sets of label maps, read from the folders that they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from segserve.client.conversion import Picture
from segserve.core.errors import NotFound
from segserve.evaluation.semantic import IGNORED
from segserve.scenes import CLASS_NAMES, Scene, make_scene

Labels = npt.NDArray[np.uint8]
AnImage = TypeVar("AnImage")

_VOC = (
    "background,aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,"
    "motorbike,person,pottedplant,sheep,sofa,train,tvmonitor"
)
VOC_NAMES = tuple(_VOC.split(","))
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Those of the 34 ids in ``*_labelIds.png`` that are scored, in order of their train ids
(mcordts/cityscapesScripts, ``helpers/labels.py``)."""
_CITYSCAPES = (
    "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,"
    "person,rider,car,truck,bus,train,motorcycle,bicycle"
)
CITYSCAPES_NAMES = tuple(_CITYSCAPES.split(","))
_ADE20K_CLASSES = 150
FIRST_SEED = 10_000
"""Of the held-out scenes: training draws its own from seeds of a million on."""
SIZES_PX = ((375, 500), (500, 375), (240, 320), (480, 480))
"""Height and width of the held-out scenes, in turn."""


@dataclass(frozen=True)
class SemanticImage:
    """One image with its truth, read when asked for.

    Parameters
    ----------
    name : str
    read_picture : callable
        Gives what `segserve.client.Client` takes.
    read_truth : callable
        Gives the labels uint8 [H, W], `IGNORED` where nothing is scored.
    """

    name: str
    read_picture: Callable[[], Picture]
    read_truth: Callable[[], Labels]


@dataclass(frozen=True)
class SemanticSet:
    """Images and the names of their classes; label n is name n."""

    class_names: tuple[str, ...]
    images: tuple[SemanticImage, ...]


def open_voc(root: Path, split: str = "val") -> SemanticSet:
    """Open PASCAL VOC 2012.

    Parameters
    ----------
    root : Path
        ``VOCdevkit``, or ``VOCdevkit/VOC2012`` itself.
    split : str
        A list in ``ImageSets/Segmentation``.

    Raises
    ------
    NotFound
        When the folders are not there.
    """
    nested = root / "VOC2012"
    folder = nested if nested.is_dir() else root
    listed = _existing(folder / "ImageSets" / "Segmentation" / f"{split}.txt")
    names = _some(listed.read_text(encoding="utf-8").split(), listed)
    return SemanticSet(
        VOC_NAMES,
        tuple(
            SemanticImage(
                name,
                partial(Path, folder / "JPEGImages" / f"{name}.jpg"),
                partial(read_labels_png, folder / "SegmentationClass" / f"{name}.png"),
            )
            for name in names
        ),
    )


def open_cityscapes(root: Path, split: str = "val") -> SemanticSet:
    """Open Cityscapes with its fine annotations: ``leftImg8bit/`` and ``gtFine/`` in `root`.

    Raises
    ------
    NotFound
        When the folders are not there, or empty.
    """
    pictures = sorted(_existing(root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    table = np.full(256, IGNORED, np.uint8)
    table[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
    truths = root / "gtFine" / split
    return SemanticSet(
        CITYSCAPES_NAMES,
        tuple(
            SemanticImage(
                path.name.removesuffix("_leftImg8bit.png"),
                partial(Path, path),
                partial(_looked_up, table, truths / path.parent.name / _cityscapes_truth(path)),
            )
            for path in _some(pictures, root / "leftImg8bit" / split)
        ),
    )


def _cityscapes_truth(picture: Path) -> str:
    return f"{picture.name.removesuffix('_leftImg8bit.png')}_gtFine_labelIds.png"


def open_ade20k(root: Path, split: str = "validation") -> SemanticSet:
    """Open ADE20K as of the scene parsing challenge (``ADEChallengeData2016``): 150 classes.

    Parameters
    ----------
    root : Path
        Holds ``images``, ``annotations`` and ``objectInfo150.txt``, which names the classes.
    split : str
        ``training`` or ``validation``.

    Raises
    ------
    NotFound
        When the folders are not there, or empty.
    """
    pictures = sorted(_existing(root / "images" / split).glob("*.jpg"))
    lines = _existing(root / "objectInfo150.txt").read_text(encoding="utf-8").splitlines()
    names = tuple(line.split("\t")[-1].strip() for line in lines[1:] if line.strip())
    # 0 is what no class names; the classes count from 1.
    table = np.arange(-1, 255).astype(np.uint8)
    table[_ADE20K_CLASSES + 1 :] = IGNORED
    truths = root / "annotations" / split
    return SemanticSet(
        names,
        tuple(
            SemanticImage(
                path.stem,
                partial(Path, path),
                partial(_looked_up, table, truths / f"{path.stem}.png"),
            )
            for path in _some(pictures, root / "images" / split)
        ),
    )


def synthetic_scenes(count: int) -> SemanticSet:
    """Give the held-out scenes that the demo models are judged by.

    Their backgrounds are drawn too, none is a photo.
    """
    return SemanticSet(
        CLASS_NAMES,
        tuple(
            SemanticImage(f"scene {index}", partial(_image, index), partial(_labels, index))
            for index in range(count)
        ),
    )


def scene(index: int) -> Scene:
    """Draw held-out scene `index`, from 0."""
    return make_scene(FIRST_SEED + index, *SIZES_PX[index % len(SIZES_PX)])


def _image(index: int) -> Picture:
    return scene(index).image


def _labels(index: int) -> Labels:
    return scene(index).labels


def read_labels_png(path: Path) -> Labels:
    """Read a PNG of labels: palette indices or grey values, not colours.

    Raises
    ------
    NotFound
        When there is no such file.
    """
    from PIL import Image  # noqa: PLC0415  opens late

    with Image.open(_existing(path)) as image:
        return np.asarray(image, dtype=np.uint8)


def _looked_up(table: Labels, path: Path) -> Labels:
    return np.asarray(table[read_labels_png(path)])


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"{path} is not there: is --root the data set's own folder?")
    return path


def _some(images: Sequence[AnImage], where: Path) -> Sequence[AnImage]:
    if not images:
        raise NotFound(f"{where} holds no images: is --root the data set's own folder?")
    return images
