"""How well a running server's demo model does on held-out scenes.

``python -m segserve.evaluation.demo --server localhost:8001`` sends scenes through the server,
compares the answered label maps with the truth, prints a table, and ends with 1 when the
mean IoU is below 0.85.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from segserve.client import Client
from segserve.core.options import MaskFormat, SegmentOptions
from segserve.evaluation.semantic import ConfusionMatrix, SemanticScores
from segserve.scenes import CLASS_NAMES, Scene, make_scene

MODEL = "deeplabv3plus_demo"
GOAL_MEAN_IOU = 0.85
FIRST_SEED = 10_000
"""Held out: training draws its scenes from seeds of a million on."""

SIZES_PX = ((375, 500), (500, 375), (240, 320), (480, 480))
"""Height and width of the scenes, in turn."""


def held_out(count: int) -> Iterator[Scene]:
    """Draw held-out scenes of several sizes; their backgrounds are drawn too, none is a photo."""
    for index in range(count):
        yield make_scene(FIRST_SEED + index, *SIZES_PX[index % len(SIZES_PX)])


def evaluate(client: Client, count: int) -> SemanticScores:
    """Send `count` held-out scenes and score the answers."""
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    for scene in held_out(count):
        result = client.segment(scene.image, MODEL, SegmentOptions(mask_format=MaskFormat.RAW))
        matrix.add(scene.labels, result.label_map())
    return matrix.scores()


def table(scores: SemanticScores) -> str:
    """Give the scores as lines of text."""
    lines = [f"{'class':12} {'IoU':>7} {'precision':>10} {'recall':>7} {'F1':>7}"]
    for name, *values in zip(
        CLASS_NAMES, scores.iou, scores.precision, scores.recall, scores.f1, strict=True
    ):
        iou, precision, recall, f1 = values
        lines.append(f"{name:12} {iou:7.4f} {precision:10.4f} {recall:7.4f} {f1:7.4f}")
    lines.append(f"{'mean IoU':12} {scores.mean_iou:7.4f}")
    lines.append(f"pixel accuracy {scores.pixel_accuracy:.4f}")
    lines.append(f"mean pixel accuracy {scores.mean_pixel_accuracy:.4f}")
    return "\n".join(lines)


def main() -> int:
    """Evaluate and print; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m segserve.evaluation.demo")
    parser.add_argument("--server", default="localhost:8001", help="host:port of a running server")
    parser.add_argument("--scenes", type=int, default=200)
    options = parser.parse_args()
    with Client(options.server) as client:
        scores = evaluate(client, options.scenes)
    print(table(scores))  # noqa: T201  this is what the command is for
    return 0 if scores.mean_iou >= GOAL_MEAN_IOU else 1


if __name__ == "__main__":
    sys.exit(main())
