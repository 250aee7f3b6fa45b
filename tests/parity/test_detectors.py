"""Two-stage detectors against torchvision and detectron2: layers, detections, ONNX, served.

Rules of the goldens: a detection has a partner of its class, box IoU at least 0.99 and score within
2e-3; at least 97 % must have one. Masks of more than 50 pixels: IoU at least 0.99.
"""

import io
import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.core.regions import Rle  # noqa: E402  same
from segserve.export.compare import (  # noqa: E402  same
    MAX_ERROR_STD,
    RMS_ERROR_STD,
    compare_outputs,
    run_eager_outputs,
    run_graph_outputs,
)
from segserve.export.to_onnx import to_onnx  # noqa: E402  same
from segserve.export.write import write_model  # noqa: E402  same
from segserve.ops import rle  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

MIN_MATCHED = 0.97
EDGE_PX = 1e-3
SAME_PROPOSAL_PX = 1e-2
MIN_IOU = 0.99
MAX_SCORE_ERROR = 2e-3
SMALL_MASK_PX = 50
MIN_AGREEMENT = 0.999
PIECES = (
    (560, 40, 231, 301),
    (0, 0, 256, 320),
    (544, 250, 197, 320),
    (544, 0, 256, 243),
    (530, 130, 224, 288),
)
"""Top, left, height and width in the official input, where every detector finds something."""
PIECES_PADDED = (256, 320)

_STAGES = {
    "torchvision": {
        "backbone.body.layer{}": [(f"backbone.body.layer{i}", None) for i in range(1, 5)],
        "fpn": [("backbone.fpn", ("fpn.0", "fpn.1", "fpn.2", "fpn.3", "fpn.pool"))],
        "rpn": [("rpn.head.cls_logits", "rpn.objectness"), ("rpn.head.bbox_pred", "rpn.deltas")],
    },
    "d2": {
        "bottom_up": [("backbone.bottom_up", tuple(f"bottom_up.res{i}" for i in range(2, 6)))],
        "fpn": [("backbone", tuple(f"backbone.p{i}" for i in range(2, 7)))],
        "rpn": [
            ("proposal_generator.rpn_head.objectness_logits", "rpn.objectness"),
            ("proposal_generator.rpn_head.anchor_deltas", "rpn.deltas"),
        ],
    },
}


def record(model, stages, got):
    """Keep what the named modules give."""

    def keep(name):
        def hook(_module, _inputs, out):
            values = out if isinstance(out, list) else [out]
            names = name if isinstance(name, tuple) else [name] * len(values)
            for key, value in zip(names, values, strict=True):
                calls = sum(k.startswith(f"{key}.") for k in got)
                is_repeated = key.startswith("rpn.")
                got[f"{key}.{calls}" if is_repeated else key] = value.numpy().copy()

        return hook

    return [
        model.get_submodule(module).register_forward_hook(keep(probe or module))
        for group in stages.values()
        for module, probe in group
    ]


def pairs(boxes, scores, labels, recorded):
    """Match greedily by class, box and score; gives (ours, theirs)."""
    found: list[tuple[int, int]] = []
    for row, (box, score, label) in enumerate(
        zip(recorded["boxes"], recorded["scores"], recorded["labels"], strict=True)
    ):
        low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - shared
        fits = (labels == label) & (np.abs(scores - score) <= MAX_SCORE_ERROR)
        fits &= shared >= MIN_IOU * whole
        fits[[ours for ours, _ in found]] = False
        if fits.any():
            found.append((int(np.argmax(fits)), row))
    return found


def iou(mask, other) -> float:
    mask, other = mask.astype(bool), other.astype(bool)
    return float((mask & other).sum() / (mask | other).sum())


def check_share(name, found, count, recorded) -> None:
    share = len(found) / max(count, len(recorded["scores"]))
    print(f"{name}: {len(found)} of {len(recorded['scores'])} official, {count} ours: {share:.1%}")
    assert share >= MIN_MATCHED


def check_proposals(chosen, boxes) -> None:
    """Each proposal has a partner; near-ties swap places where the input's last bits differ."""
    recorded = chosen.recorded["proposals"]
    apart = np.abs(boxes[:, None] - recorded).max(axis=2)
    shares = [float(np.mean(apart.min(axis=axis) <= SAME_PROPOSAL_PX)) for axis in (0, 1)]
    in_place = float(np.mean(np.diag(apart) <= SAME_PROPOSAL_PX))
    print(
        f"{chosen.folder.name} proposals: {min(shares):.1%} of {len(recorded)} with a partner, "
        f"{in_place:.1%} in place, within {apart.min(axis=0).max():.1e} px"
    )
    assert len(boxes) == len(recorded)
    assert min(shares) >= MIN_MATCHED


def test_eager(detector_case) -> None:
    chosen, _, model, inputs = detector_case
    got = {"input": inputs["image"]}
    hooks = record(model, _STAGES[chosen.folder.name.split("_")[0]], got)
    proposed = []
    network = model.rpn if hasattr(model, "rpn") else model.proposal_generator
    hooks.append(network.register_forward_hook(lambda *given: proposed.append(given[-1])))
    boxes, scores, labels, valid, masks, *_ = (x[0] for x in run_eager_outputs(model, inputs))
    for hook in hooks:
        hook.remove()
    assert set(got) <= set(chosen.probes)
    assert len(got) >= 19
    for probe, value in got.items():
        largest, rms = chosen.errors(probe, value)
        print(f"{chosen.folder.name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        assert largest <= MAX_ERROR_STD, probe
        assert rms <= RMS_ERROR_STD, probe
    check_proposals(chosen, proposed[0].boxes[proposed[0].valid].numpy())
    recorded = chosen.recorded
    scale = np.float32([500, 375] * 2) / inputs["image_size"][0, [1, 0, 1, 0]]
    found = pairs(boxes[:valid] * scale, scores[:valid], labels[:valid], recorded)
    check_share(f"{chosen.folder.name} eager", found, int(valid), recorded)
    if "mask_probs28" in recorded.files:
        ours, theirs = zip(*[pair for pair in found if pair[1] < 40], strict=True)
        error = masks[list(ours)] - recorded["mask_probs28"][list(theirs)].astype(np.float32)
        assert np.abs(error).max() < 0.02


@pytest.fixture(scope="module")
def graph(detector_case) -> bytes:
    _, recipe, model, _ = detector_case
    return to_onnx(model, recipe)


def test_onnx(detector_case, graph) -> None:
    chosen, _, model, inputs = detector_case
    got = run_graph_outputs(graph, inputs)
    compared = compare_outputs(got, dict(zip(got, run_eager_outputs(model, inputs), strict=True)))
    print(f"{chosen.folder.name} ONNX Runtime against eager: {compared}")
    assert compared.is_close


def pieces_of(inputs):
    """Cut five pictures of five sizes out of the published one, zeros beside each."""
    image = np.zeros((len(PIECES), 3, *PIECES_PADDED), np.float32)
    for row, (top, left, height, width) in enumerate(PIECES):
        image[row, :, :height, :width] = inputs["image"][
            0, :, top : top + height, left : left + width
        ]
    return {"image": image, "image_size": np.float32([piece[2:] for piece in PIECES])}


def test_images_of_a_batch_do_not_touch(detector_case, graph) -> None:
    chosen, _, _, inputs = detector_case
    several = pieces_of(inputs)
    alone = [
        run_graph_outputs(graph, {name: x[i : i + 1] for name, x in several.items()})
        for i in range(len(PIECES))
    ]
    found = [int(one["valid"].sum()) for one in alone]
    assert min(found) > 0, found
    for count in (2, 5):
        together = run_graph_outputs(graph, {name: x[:count] for name, x in several.items()})
        single = {name: np.concatenate([one[name] for one in alone[:count]]) for name in together}
        compared = compare_outputs(together, single)
        print(f"{chosen.folder.name} {count} images together against alone {found}: {compared}")
        assert compared.is_close


def on_an_edge(name, box) -> bool:
    """Whether float32's last bits decide where torchvision cuts a mask's box to whole pixels.

    ``roi_heads.expand_boxes``: 30/28 of the box, corners towards zero. One pixel row further stands
    the whole mask, and these weights make masks of noise.
    """
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (30 / 28)
    corners = np.concatenate([centre - half, centre + half])
    near = np.abs(corners - np.round(corners)).min() < EDGE_PX
    return bool(near) and name.startswith("torchvision_")


def test_served(detector_case, graph, serve, tmp_path) -> None:
    chosen, recipe, _, _ = detector_case
    repository = tmp_path / "models"
    write_model(repository, "m", graph, recipe.config())
    server = serve("--model-repository", repository)
    server.wait_event("ready", "started", timeout_s=600)
    picture = chosen.folder.parent / "images" / "public.png"
    recorded = chosen.recorded
    with Client(server.grpc, timeout_s=600) as client:
        regions = client.segment(picture, "m").regions
        if "panoptic_png" in recorded.files:
            answer = client.segment(picture, "m", SegmentOptions(mask_format=MaskFormat.RAW))
            official_map = np.asarray(Image.open(io.BytesIO(recorded["panoptic_png"].tobytes())))
            agreement = float(np.mean(answer.label_map() == official_map))
            print(f"{chosen.folder.name} served: panoptic map {agreement:.4%}")
            assert agreement >= MIN_AGREEMENT
    found = pairs(
        np.array([region.box for region in regions]),
        np.array([region.score for region in regions]),
        np.array([region.label_id for region in regions]),
        recorded,
    )
    check_share(f"{chosen.folder.name} served", found, len(regions), recorded)
    texts = json.loads(bytes(recorded["masks_rle"]))
    official = dict(zip(recorded["masks_rle_det"].tolist(), texts, strict=True))
    overlaps = []
    for ours, theirs in found:
        area = int(recorded["mask_area"][theirs])
        assert abs(regions[ours].area - area) <= max(20, 0.01 * area)
        edge = on_an_edge(chosen.folder.name, recorded["boxes"][theirs])
        if theirs in official and area > SMALL_MASK_PX and not edge:
            other = Rle(*official[theirs]["size"], official[theirs]["counts"].encode())
            overlaps.append(iou(rle.decode(regions[ours].mask), rle.decode(other)))
    print(f"{chosen.folder.name} served: mask IoU at least {min(overlaps):.4f} of {len(overlaps)}")
    assert min(overlaps) >= MIN_IOU
