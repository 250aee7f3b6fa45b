"""Draws every segmenter without weights on one photograph: ``make gallery``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from segserve.execution.blas import hold_blas_to
from segserve.ops.classical.catalogue import SEGMENTERS
from segserve.ops.classical.segmentation import Segmentation

ROOT = Path(__file__).resolve().parents[1]
SIZE_PX = (500, 375)
_SHOWN_BOXES = 20

Pixels = npt.NDArray[np.uint8]


def main() -> int:
    """Write one PNG for each segmenter, with its default options; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=ROOT / "docs" / "images" / "coffee.jpg")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gallery")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    hold_blas_to(1)  # as the server does
    with Image.open(options.image) as file:
        image = np.asarray(file.convert("RGB").resize(SIZE_PX))
    for name, segmenter in SEGMENTERS.items():
        segmenter.segment(image, segmenter.options())  # compiles or loads its kernels
        start_s = time.process_time()
        found = segmenter.segment(image, segmenter.options())
        taken_ms = (time.process_time() - start_s) * 1000
        path = options.out / f"{name}.png"
        Image.fromarray(drawn(image, found)).save(path)
        print(f"{name:18s} {taken_ms:8.1f} ms CPU  {found.labels.max() + 1:5d} regions  {path}")
    return 0


def drawn(image: Pixels, found: Segmentation) -> Pixels:
    """Paint regions in their mean colours with dark borders, or the first boxes of proposals."""
    if found.boxes is not None:
        return _with_boxes(image, found.boxes[:_SHOWN_BOXES])
    flat = found.labels.reshape(-1)
    counts = np.bincount(flat)[:, None]
    sums = [np.bincount(flat, weights=image[..., c].reshape(-1)) for c in range(3)]
    out = (np.stack(sums, axis=1) / counts).astype(np.uint8)[found.labels]
    border = np.zeros(found.labels.shape, bool)
    border[:, 1:] |= found.labels[:, 1:] != found.labels[:, :-1]
    border[1:] |= found.labels[1:] != found.labels[:-1]
    out[border] = (30, 20, 60)
    return np.asarray(out)


def _with_boxes(image: Pixels, boxes: npt.NDArray[np.float32]) -> Pixels:
    out = image.copy()
    for left, top, right, bottom in boxes.astype(int):
        out[top:bottom, [left, right - 1]] = (255, 210, 0)
        out[[top, bottom - 1], left:right] = (255, 210, 0)
    return out


if __name__ == "__main__":
    raise SystemExit(main())
