"""PointRend against its own coarse masks: same boxes, same weights, with and without refining.

``python -m segserve.training.pointrend_table`` runs the bundled PointRend demo model over held-out
scenes that are drawn four times as large as the network sees them, and prints the AP of masks (as
COCO defines it) against ground truth of the network's size and of the large one. The model's graph
gives the coarse masks beside the refined ones, so both columns are about the same detections.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from segserve.core.tensor import Array
from segserve.evaluation.coco_ap import ApScores, average_precision
from segserve.evaluation.coco_match import Detection, Truth
from segserve.ops.masks import paste_boxes_to_rle
from segserve.ops.rle import area, encode, to_bbox
from segserve.scenes import Scene, make_scene
from segserve.training.scene_batches import MEAN, STD

MASKS = ("coarse_masks", "masks")
TIMES = 4
"""The large ground truth's sides over those of the network's input."""

_FIRST_SEED = 20_000
_SIZES_PX = ((240, 320), (320, 240))
_HALF = 0.5


@dataclass(frozen=True)
class Pair:
    """One scene at both sizes.

    Parameters
    ----------
    pixels : float32 [3, h, w]
        Normalised: means over 4 x 4 pixels of the large scene.
    instances : tuple of int32 [h, w], int32 [4 h, 4 w]
        The number of the shape at every pixel; small is what most of 16 pixels say.
    labels : tuple of int
        Label of shape 1, 2, ..., from 1.
    """

    pixels: npt.NDArray[np.float32]
    instances: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    labels: tuple[int, ...]


def draw(index: int) -> Pair:
    """Draw held-out scene `index`; landscape and portrait in turn."""
    height, width = _SIZES_PX[index % len(_SIZES_PX)]
    scene = make_scene(_FIRST_SEED + index, height * TIMES, width * TIMES)
    pixels = _block_means(scene.image.astype(np.float32)) / 255
    normalised = ((pixels - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)
    return Pair(normalised, (shrunk(scene), scene.instances), scene.instance_labels)


def shrunk(scene: Scene) -> npt.NDArray[np.int32]:
    """Give instances at a quarter of each side: a shape is where it has at least half."""
    height, width = scene.instances.shape
    small = np.zeros((height // TIMES, width // TIMES), np.int32)
    for number in range(1, len(scene.instance_labels) + 1):
        share = _block_means((scene.instances == number).astype(np.float32)[..., None])[..., 0]
        small[share >= _HALF] = number
    return small


def _block_means(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    height, width, channels = image.shape
    blocks = image.reshape(height // TIMES, TIMES, width // TIMES, TIMES, channels)
    means: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return means


def truths_of(instances: npt.NDArray[np.int32], labels: Sequence[int], image: int) -> list[Truth]:
    """Give what is left to see of each shape."""
    truths = []
    for number, label in enumerate(labels, start=1):
        mask = encode(instances == number)
        if area(mask):
            x1, y1, x2, y2 = (float(v) for v in to_bbox(mask))
            truths.append(Truth(image, label, (x1, y1, x2 - x1, y2 - y1), float(area(mask)), mask))
    return truths


def detections_of(
    columns: Mapping[str, Array], masks: str, times: int, size: tuple[int, int], image: int
) -> list[Detection]:
    """Paste one of the graph's two kinds of masks at one of the two sizes.

    Parameters
    ----------
    columns : mapping of str to array
        The graph's outputs of one image; ``valid`` is a single number.
    masks : str
        Of `MASKS`.
    times : int
        What boxes are multiplied by.
    size : (int, int)
        Height and width to paste at.
    image : int
        The image's number.
    """
    rows = np.arange(int(columns["valid"]))
    boxes = columns["boxes"][rows] * np.float32(times)
    pasted = paste_boxes_to_rle(columns[masks][rows], boxes, *size)
    return [
        Detection(
            image,
            int(columns["labels"][row]) + 1,
            float(columns["scores"][row]),
            (float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])),
            mask,
        )
        for row, box, mask in zip(rows, boxes, pasted, strict=True)
        if area(mask)
    ]


def measure(graph: Path, count: int) -> dict[tuple[str, int], ApScores]:
    """Score `count` scenes, by kind of mask and by how large the ground truth is."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    truths: dict[int, list[Truth]] = {1: [], TIMES: []}
    found: dict[tuple[str, int], list[Detection]] = {
        (masks, times): [] for masks in MASKS for times in truths
    }
    for index in range(count):
        pair = draw(index)
        size = np.array([pair.pixels.shape[1:]], np.float32)
        outputs = session.run(None, {"image": pair.pixels[None], "image_size": size})
        columns = {name: output[0] for name, output in zip(names, outputs, strict=True)}
        for times, instances in zip(truths, pair.instances, strict=True):
            truths[times] += truths_of(instances, pair.labels, index)
            shape = (instances.shape[0], instances.shape[1])
            for masks in MASKS:
                found[masks, times] += detections_of(columns, masks, times, shape, index)
    return {
        key: average_precision(truths[key[1]], detections, "mask")
        for key, detections in found.items()
    }


def table(scores: Mapping[tuple[str, int], ApScores]) -> str:
    """Give the scores as lines of text."""
    lines = [f"{'masks':16} {'truth':>12} {'AP':>7} {'AP50':>7} {'AP75':>7}"]
    sizes = {1: "320 px", TIMES: f"{320 * TIMES} px"}
    titles = dict(zip(MASKS, ("coarse head", "PointRend"), strict=True))
    lines += [
        f"{titles[masks]:16} {sizes[times]:>12} {s.ap:7.4f} {s.ap50:7.4f} {s.ap75:7.4f}"
        for (masks, times), s in scores.items()
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m segserve.training.pointrend_table")
    parser.add_argument("--model-repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--count", type=int, default=200, help="scenes")
    options = parser.parse_args()
    graph = options.model_repository / "pointrend_demo" / "1" / "model.onnx"
    print(table(measure(graph, options.count)))  # noqa: T201  what it is for
    return 0


if __name__ == "__main__":
    sys.exit(main())
