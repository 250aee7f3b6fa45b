"""Mask kernels against torch and pycocotools, as the official code of the models uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from loadtests.kernels import libraries, scenes
from loadtests.kernels.agreement import differing_pixels, same_bytes
from loadtests.kernels.case import KernelCase
from segserve.core.regions import Rle
from segserve.ops import rle
from segserve.ops.argmax import upsample_argmax
from segserve.ops.full_masks import resize_masks_to_rle
from segserve.ops.masks import expand_boxes, paste_boxes_to_rle, paste_expanded_boxes_to_rle
from segserve.ops.prototypes import assemble_prototypes_to_rle, crop_limits

PICTURE = (800, 1333)
COUNT = 100
Work = Callable[[], Any]


def cases() -> Sequence[KernelCase]:
    """Give all mask cases."""
    return [
        _detectron2(),
        _torchvision(),
        _yolact(),
        _solo(),
        _label_map(),
        _bitmaps(),
        _upsampled_argmax(),
    ]


def _case(
    name: str, goal: float | None, baseline: Callable[..., Work], ours: Work, needed: Sequence[str]
) -> KernelCase:
    """Make a case whose baseline takes the libraries in `needed` and answers with RLE bytes."""
    found, skipped = libraries.needs(*needed)
    theirs = None if skipped else baseline(*found)
    return KernelCase(name, goal, theirs, ours, same_bytes, skipped)


_COCO = ("torch", "pycocotools.mask")


def _detectron2() -> KernelCase:
    masks, boxes = scenes.soft_blobs(COUNT, 28), scenes.boxes(COUNT, *PICTURE)
    height, width = PICTURE

    def paste_one(torch: Any, mask: Any, box: Any) -> Any:
        x1, y1, x2, y2 = box
        left, top = max(int(x1.floor()) - 1, 0), max(int(y1.floor()) - 1, 0)
        right, bottom = min(int(x2.ceil()) + 1, width), min(int(y2.ceil()) + 1, height)
        ys = torch.arange(top, bottom, dtype=torch.float32) + 0.5
        xs = torch.arange(left, right, dtype=torch.float32) + 0.5
        ys, xs = (ys - y1) / (y2 - y1) * 2 - 1, (xs - x1) / (x2 - x1) * 2 - 1
        size = (len(ys), len(xs))
        grid = torch.stack([xs[None].expand(size), ys[:, None].expand(size)], dim=-1)
        sampled = torch.nn.functional.grid_sample(mask[None, None], grid[None], align_corners=False)
        full = torch.zeros(PICTURE, dtype=torch.bool)
        full[top:bottom, left:right] = sampled[0, 0] >= 0.5  # noqa: PLR2004  the threshold
        return full

    def baseline(torch: Any, _coco: Any) -> Work:
        encode = libraries.encoder()
        given = list(zip(torch.from_numpy(masks), torch.from_numpy(boxes), strict=True))
        return lambda: [encode(paste_one(torch, mask, box).numpy()) for mask, box in given]

    name = f"paste {COUNT} 28x28 to 800x1333, detectron2's rule"
    return _case(name, 100, baseline, partial(paste_boxes_to_rle, masks, boxes, *PICTURE), _COCO)


def _torchvision() -> KernelCase:
    masks, boxes = scenes.soft_blobs(COUNT, 28), scenes.boxes(COUNT, *PICTURE)
    height, width = PICTURE

    def baseline(torch: Any, _coco: Any) -> Work:
        encode = libraries.encoder()
        grown = expand_boxes(boxes, 30 / 28)

        def work() -> list[bytes]:
            padded = torch.nn.functional.pad(torch.from_numpy(masks)[:, None], (1, 1, 1, 1))
            found = []
            for mask, (x1, y1, x2, y2) in zip(padded, grown.tolist(), strict=True):
                size = (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
                resized = libraries.interpolate(torch, mask[None], size)[0, 0]
                full = torch.zeros(PICTURE)
                left, right = max(x1, 0), min(x2 + 1, width)
                top, bottom = max(y1, 0), min(y2 + 1, height)
                part = resized[top - y1 : bottom - y1, left - x1 : right - x1]
                full[top:bottom, left:right] = part
                found.append(encode((full > 0.5).numpy()))  # noqa: PLR2004  the threshold
            return found

        return work

    name = f"paste {COUNT} 28x28 to 800x1333, torchvision's rule"
    ours = partial(paste_expanded_boxes_to_rle, masks, boxes, *PICTURE)
    return _case(name, None, baseline, ours, _COCO)


def _yolact() -> KernelCase:
    prototypes = scenes.prototypes(138, 32)
    rows = np.tanh(np.random.default_rng(7).normal(0, 1, (COUNT, 32))).astype(np.float32)
    boxes = scenes.boxes(COUNT, 700, 700, seed=8) / np.float32(700)

    def baseline(torch: Any, _coco: Any) -> Work:
        encode = libraries.encoder()
        limits = torch.from_numpy(crop_limits(boxes, 138, 138))
        y, x = torch.arange(138)[:, None, None], torch.arange(138)[None, :, None]

        def work() -> list[bytes]:
            masks = torch.sigmoid(torch.from_numpy(prototypes) @ torch.from_numpy(rows).t())
            inside = (x >= limits[:, 0]) & (x < limits[:, 2])
            inside = inside & (y >= limits[:, 1]) & (y < limits[:, 3])
            planes = (masks * inside).permute(2, 0, 1).contiguous()[None]
            resized = libraries.interpolate(torch, planes, (550, 550))[0]
            return [encode(mask) for mask in (resized > 0.5).numpy()]  # noqa: PLR2004  the threshold

        return work

    ours = partial(assemble_prototypes_to_rle, prototypes, rows, boxes, 550, 550)
    return _case(f"YOLACT, {COUNT} of 138x138x32 to 550x550", 50, baseline, ours, _COCO)


def _solo() -> KernelCase:
    masks = scenes.soft_ellipses(COUNT, 200, 268)
    padded, content, source = (800, 1072), (800, 1067), (480, 640)

    def baseline(torch: Any, _coco: Any) -> Work:
        encode = libraries.encoder()

        def work() -> list[bytes]:
            network = libraries.interpolate(torch, torch.from_numpy(masks)[None], padded)
            network = network[:, :, : content[0], : content[1]]
            resized = libraries.interpolate(torch, network, source)[0]
            return [encode(mask) for mask in (resized > 0.5).numpy()]  # noqa: PLR2004  the threshold

        return work

    ours = partial(resize_masks_to_rle, masks, padded, content, source)
    return _case(f"SOLO, {COUNT} of 200x268 to 800x1072 to 480x640", None, baseline, ours, _COCO)


def _label_map() -> KernelCase:
    labels = scenes.label_map(513)
    present = np.unique(labels).tolist()

    def baseline(_coco: Any) -> Work:
        encode = libraries.encoder()
        return lambda: [encode(labels == value) for value in present]

    ours = partial(rle.label_map_to_rles, labels, present)
    name = f"label map 513x513 to {len(present)} RLE"
    return _case(name, 8, baseline, ours, _COCO[1:])


def _bitmaps() -> KernelCase:
    pasted = paste_boxes_to_rle(scenes.soft_blobs(20, 28), scenes.boxes(20, *PICTURE), *PICTURE)
    bitmaps = [np.ascontiguousarray(rle.decode(mask)) for mask in pasted]

    def baseline(_coco: Any) -> Work:
        encode = libraries.encoder()
        return lambda: [encode(mask) for mask in bitmaps]

    def ours() -> list[Rle]:
        return [rle.encode(mask) for mask in bitmaps]

    return _case("20 bitmaps 800x1333 to RLE", None, baseline, ours, _COCO[1:])


def _upsampled_argmax() -> KernelCase:
    logits = scenes.logits(21, 65)
    (torch,), skipped = libraries.needs("torch")

    def baseline() -> Any:
        planes = torch.from_numpy(logits)[None]
        return libraries.interpolate(torch, planes, (513, 513))[0].argmax(0).numpy()

    return KernelCase(
        "up-sample and argmax, 21x65x65 to 513x513",
        80,
        None if skipped else baseline,
        lambda: upsample_argmax(logits, 513, 513),
        differing_pixels,
        skipped,
    )
