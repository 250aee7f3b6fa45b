"""The SOLO family against WXinlong/SOLO: layers, masks, ONNX Runtime, TorchScript, the server.

Rules of the goldens for models without boxes: a row has a partner of its class, score within 2e-3,
mask area within 1 % or 20 px; at least 97 % must have one. Masks over 50 px: IoU at least 0.99.
"""

import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.regions import Rle  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.checkpoint import match_state_dict  # noqa: E402  same
from segserve.export.compare import (  # noqa: E402  same
    MAX_ERROR_STD,
    RMS_ERROR_STD,
    compare_outputs,
    run_eager_outputs,
    run_graph_outputs,
)
from segserve.export.run import Destination, export_checkpoint  # noqa: E402  same
from segserve.ops import rle  # noqa: E402  same
from segserve.ops.full_masks import resize_masks_to_rle  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

MIN_MATCHED = 0.97
MIN_IOU = 0.99
MAX_SCORE_ERROR = 2e-3
SMALL_MASK_PX = 50
MEAN, STD = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])

HEADS = {
    "solov2_r50_fpn_3x": {
        "bbox_head.solo_cate": "solo_cate",
        "bbox_head.solo_kernel": "solo_kernel",
    },
    "solo_r50_fpn_3x": {"bbox_head.solo_cate": "solo_cate"},
    "decoupled_solo_r50_fpn_3x": {
        "bbox_head.dsolo_cate": "dsolo_cate",
        **{
            f"bbox_head.dsolo_ins_list_{a}.{i}": f"dsolo_ins_list_{a}"
            for a in "xy"
            for i in range(5)
        },
    },
}


def official_input(chosen):
    """Take the picture as OpenCV resized it, normalise it, pad it with zeros."""
    path = chosen.folder.parent / "resized" / "public_cv2_800x1067.png"
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(np.float32)
    image = np.zeros((1, 3, 800, 1088), np.float32)
    image[0, :, :, :1067] = ((pixels - MEAN) / STD).transpose(2, 0, 1)
    return {"image": image}


def record(model, name, got):
    """Keep what the layers give that the golden has a probe of."""

    def keep(probe):
        def hook(_module, _inputs, out):
            for value in out if isinstance(out, list) else [out]:
                at = sum(key.startswith(f"{probe}.") for key in got)
                key = probe if probe == "mask_feat" else f"{probe}.{at}"
                got[key] = value.numpy().copy()

        return hook

    layers = {"backbone": "backbone", "neck": "fpn", **HEADS[name]}
    if name.startswith("solov2"):
        layers["mask_feat_head"] = "mask_feat"
    return [
        model.get_submodule(module).register_forward_hook(keep(probe))
        for module, probe in layers.items()
    ]


def pairs(scores, labels, areas, recorded):
    """Match greedily by class, score and area; gives (ours, theirs)."""
    found: list[tuple[int, int]] = []
    official = zip(recorded["scores"], recorded["labels"], recorded["mask_area"], strict=True)
    for row, (score, label, area) in enumerate(official):
        fits = (labels == label) & (np.abs(scores - score) <= MAX_SCORE_ERROR)
        fits &= np.abs(areas - area) <= max(20, 0.01 * area)
        fits[[ours for ours, _ in found]] = False
        if fits.any():
            distance = np.where(fits, np.abs(areas - area) + np.abs(scores - score), np.inf)
            found.append((int(np.argmin(distance)), row))
    return found


def check_regions(name, scores, labels, masks, recorded) -> None:
    """Hold masks of the source's size against the official ones."""
    assert np.all(np.diff(scores) <= 0), "by falling score"
    areas = np.array([rle.area(mask) for mask in masks])
    found = pairs(scores, labels, areas, recorded)
    share = len(found) / max(len(scores), len(recorded["scores"]))
    official = dict(
        zip(
            recorded["masks_rle_det"].tolist(),
            json.loads(bytes(recorded["masks_rle"])),
            strict=True,
        )
    )
    overlaps = []
    for ours, theirs in found:
        if theirs in official and recorded["mask_area"][theirs] > SMALL_MASK_PX:
            other = Rle(*official[theirs]["size"], official[theirs]["counts"].encode())
            first, second = rle.decode(masks[ours]) > 0, rle.decode(other) > 0
            overlaps.append(float((first & second).sum() / (first | second).sum()))
    worst = max(abs(scores[a] - recorded["scores"][b]) for a, b in found)
    print(
        f"{name}: {len(found)} of {len(recorded['scores'])} matched ({len(scores)} ours), scores "
        f"within {worst:.1e}, IoU of {len(overlaps)} masks at least {min(overlaps):.5f}"
    )
    assert share >= MIN_MATCHED
    assert min(overlaps) >= MIN_IOU


def check_outputs(name, outputs, recorded) -> None:
    """Hold the graph's columns against the official result."""
    scores, labels, valid, masks = (column[0] for column in outputs)
    rles = resize_masks_to_rle(masks[:valid], (800, 1088), (800, 1067), (375, 500))
    check_regions(name, scores[:valid], labels[:valid], rles, recorded)


@pytest.fixture(scope="module", params=HEADS)
def case(request, golden):
    """A golden, its recipe, the filled network and the official input."""
    chosen = golden(request.param)
    recipe = find_recipe(request.param)
    model = recipe.build()
    match_state_dict(model, {k: torch.from_numpy(v) for k, v in chosen.weights().items()})
    return chosen, recipe, model, official_input(chosen)


@pytest.fixture(scope="module")
def repository(case, tmp_path_factory):
    """The model, exported through a checkpoint file as it is released."""
    chosen, recipe, model, _ = case
    folder = tmp_path_factory.mktemp("solo")
    torch.save({"meta": {"epoch": 36}, "state_dict": model.state_dict()}, folder / "official.pth")
    done = export_checkpoint(recipe, folder / "official.pth", Destination(folder / "models", "m"))
    print(f"{chosen.folder.name} {done.graph_bytes / 1e6:.0f} MB, on noise: {done.comparison}")
    return folder / "models"


def test_eager(case) -> None:
    chosen, _, model, inputs = case
    got = {"input": inputs["image"]}
    hooks = record(model, chosen.folder.name, got)
    outputs = run_eager_outputs(model, inputs)
    for hook in hooks:
        hook.remove()
    # SOLO's last convolution is never applied whole; its masks are compared below.
    assert set(chosen.probes) - set(got) in (set(), {f"solo_ins_list.{i}" for i in range(5)})
    for probe, value in got.items():
        largest, rms = chosen.errors(probe, value)
        print(f"{chosen.folder.name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        assert largest <= MAX_ERROR_STD, probe
        assert rms <= RMS_ERROR_STD, probe
    check_outputs(f"{chosen.folder.name} eager", outputs, chosen.recorded)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(case) -> None:
    chosen, _, model, inputs = case
    expected = run_eager_outputs(model, inputs)
    with torch.inference_mode():
        got = torch.jit.script(model)(torch.from_numpy(inputs["image"]))
    names = [spec.name for spec in case[1].config().outputs]
    compared = compare_outputs(
        dict(zip(names, (x.numpy() for x in got), strict=True)),
        dict(zip(names, expected, strict=True)),
    )
    print(f"{chosen.folder.name} TorchScript against eager: {compared}")
    assert compared.is_close


def test_onnx(case, repository) -> None:
    chosen, _, model, inputs = case
    graph = (repository / "m" / "1" / "model.onnx").read_bytes()
    got = run_graph_outputs(graph, inputs)
    compared = compare_outputs(got, dict(zip(got, run_eager_outputs(model, inputs), strict=True)))
    print(f"{chosen.folder.name} ONNX Runtime against eager: {compared}")
    assert compared.is_close
    check_outputs(f"{chosen.folder.name} ONNX Runtime", tuple(got.values()), chosen.recorded)


def test_images_of_a_batch_do_not_touch(case, repository) -> None:
    chosen, *_ = case
    graph = (repository / "m" / "1" / "model.onnx").read_bytes()
    image = np.random.default_rng(0).standard_normal((5, 3, 256, 320)).astype(np.float32)
    image[1] *= 0.1
    image[2] = 0
    alone = [run_graph_outputs(graph, {"image": image[i : i + 1]}) for i in range(5)]
    for first, last in ((0, 2), (0, 5)):
        together = run_graph_outputs(graph, {"image": image[first:last]})
        single = {n: np.concatenate([one[n] for one in alone[first:last]]) for n in together}
        compared = compare_outputs(together, single)
        print(f"{chosen.folder.name} {last} images together against alone: {compared}")
        assert compared.is_close


def test_served(case, repository, serve) -> None:
    chosen, *_ = case
    server = serve("--model-repository", repository)
    server.wait_event("ready", "started", timeout_s=600)  # on a busy machine
    with Client(server.grpc, timeout_s=600) as client:
        regions = client.segment(chosen.folder.parent / "images" / "public.png", "m").regions
    check_regions(
        f"{chosen.folder.name} served",
        np.array([region.score for region in regions]),
        np.array([region.label_id for region in regions]),
        [region.mask for region in regions],
        chosen.recorded,
    )
