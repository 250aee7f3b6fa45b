"""YOLACT against dbolya/yolact: layers, fast NMS, ONNX Runtime, TorchScript, the server.

Rules of the goldens: a detection has a partner of its class, box IoU at least 0.99 and score within
2e-3; at least 97 % must have one. Masks over 50 px: IoU at least 0.99; smaller ones: area within
20 px. The scores of ``yolact_resnet101_base`` are all 1.0, so only its layers are compared; its
class logits (std 11) are so large that softmax magnifies rounding: the recorded probabilities are
up to 0.02 std, and ours up to 0.07 std, from those of the same network in float64.
"""

import json

import numpy as np
import pytest

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
from segserve.families.mask_rule import Frame  # noqa: E402  same
from segserve.families.prototype_masks import PrototypeMasks  # noqa: E402  same
from segserve.families.shapes import Placement  # noqa: E402  same
from segserve.ops import rle  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

NAME = "yolact_resnet50"
MIN_MATCHED = 0.97
MIN_IOU = 0.99
MAX_SCORE_ERROR = 2e-3
SMALL_MASK_PX = 50
SMALL_MASK_ERROR_PX = 20
MAX_ERROR_OF_SATURATED_CLASSES_STD = 0.1
MEAN_BGR, STD_BGR = [103.94, 116.78, 123.68], [57.38, 57.12, 58.40]
SIZE_PX = 550
FRAME = Frame((375, 500), Placement((SIZE_PX, SIZE_PX), (SIZE_PX, SIZE_PX)))


def official_input(chosen):
    """Resize BGR grey levels as floats, normalise, swap to RGB."""
    bgr = torch.from_numpy(chosen.image[..., ::-1].copy()).float().permute(2, 0, 1)[None]
    size = (SIZE_PX, SIZE_PX)
    x = torch.nn.functional.interpolate(bgr, size, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN_BGR, STD_BGR))
    return {"image": ((x - mean) / std)[:, [2, 1, 0]].contiguous().numpy()}


def filled(name, chosen):
    """Give the network of a recipe with the golden's weights."""
    model = find_recipe(name).build()
    match_state_dict(model, {k: torch.from_numpy(v) for k, v in chosen.weights().items()})
    return model


@pytest.fixture(scope="module")
def case(golden):
    """The golden, the filled network and the official input."""
    chosen = golden(NAME)
    return chosen, filled(NAME, chosen), official_input(chosen)


@pytest.fixture(scope="module")
def repository(case, tmp_path_factory):
    """The model, exported through a checkpoint file as it is released."""
    folder = tmp_path_factory.mktemp("yolact")
    torch.save(case[1].state_dict(), folder / "official.pth")
    done = export_checkpoint(
        find_recipe(NAME), folder / "official.pth", Destination(folder / "models", "m")
    )
    print(f"{NAME} {done.graph_bytes / 1e6:.0f} MB, on noise: {done.comparison}")
    return folder / "models"


def overlap(boxes, box):
    """IoU of boxes [N, 4] with one; 1 for boxes without area that are equal."""
    shared = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None)
    sizes = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, box[None])]
    area = np.prod(shared, axis=1)
    union = sizes[0] + sizes[1] - area
    same = (boxes == box).all(axis=1)
    return np.where(same, 1.0, area / np.maximum(union, 1e-9))


def matched(rows, recorded, prefix):
    """Match (boxes, scores, labels) greedily to the recorded rows; gives pairs (ours, theirs)."""
    boxes, scores, labels = rows
    assert np.all(np.diff(scores) <= 0), "by falling score"
    found: list[tuple[int, int]] = []
    for row, box in enumerate(recorded[f"{prefix}.box"]):
        fits = labels == recorded[f"{prefix}.class"][row]
        fits &= np.abs(scores - recorded[f"{prefix}.score"][row]) <= MAX_SCORE_ERROR
        overlaps = overlap(boxes, box) * fits
        overlaps[[ours for ours, _ in found]] = 0
        if overlaps.max() >= MIN_IOU:
            found.append((int(overlaps.argmax()), row))
    share = len(found) / max(len(scores), len(recorded[f"{prefix}.score"]))
    print(f"{prefix}: {len(found)} matched, {len(scores)} ours")
    assert share >= MIN_MATCHED
    return found


def check_masks(what, rows, masks, recorded) -> None:
    """Hold placed rows against the official final ones."""
    found = matched(rows, recorded, "final")
    listed = recorded["final.mask_rle_det"].tolist()
    official = dict(zip(listed, json.loads(bytes(recorded["final.mask_rle"])), strict=True))
    overlaps, differences = [], []
    for ours, theirs in found:
        area = recorded["final.mask_area"][theirs]
        differences.append(abs(rle.area(masks[ours]) - area) / max(area, 1))
        if area <= SMALL_MASK_PX:
            assert abs(rle.area(masks[ours]) - area) <= SMALL_MASK_ERROR_PX
        elif theirs in official:
            other = Rle(*official[theirs]["size"], official[theirs]["counts"].encode())
            first, second = rle.decode(masks[ours]) > 0, rle.decode(other) > 0
            overlaps.append(float((first & second).sum() / (first | second).sum()))
    print(
        f"{what}: IoU of {len(overlaps)} masks at least {min(overlaps):.5f}, areas of all within "
        f"{max(differences):.4f}"
    )
    assert len(overlaps) > 10
    assert min(overlaps) >= MIN_IOU


def check_outputs(what, outputs, recorded) -> None:
    """Hold the graph's columns against the official result, before and after placing."""
    names = [spec.name for spec in find_recipe(NAME).config().outputs]
    columns = {name: value[0] for name, value in zip(names, outputs, strict=True)}
    scores, labels = columns["scores"], columns["labels"]
    assert columns["valid"] == len(scores)
    matched((columns["boxes"], scores, labels), recorded, "det")
    placed = PrototypeMasks().place(columns, np.arange(len(scores)), FRAME)
    check_masks(what, (placed.boxes, scores, labels), placed.masks, recorded)


def layers(model, inputs):
    """Give what the golden has probes of."""
    got = dict(inputs)
    got["input"] = got.pop("image")

    def keep(name):
        def hook(_module, _inputs, out):
            for i, value in enumerate(out if isinstance(out, list) else [out]):
                got[f"{name}.{i}" if isinstance(out, list) else name] = value.numpy().copy()

        return hook

    hooks = [model.fpn.register_forward_hook(keep("fpn"))]
    hooks += [
        layer.register_forward_hook(keep(f"backbone.{i}"))
        for i, layer in enumerate(model.backbone.layers)
    ]
    with torch.inference_mode():
        offsets, logits, coefficients, prototypes = model.raw(torch.from_numpy(inputs["image"]))
    for hook in hooks:
        hook.remove()
    got["loc"], got["conf"] = offsets.numpy(), logits.softmax(-1).numpy()
    got["mask"], got["proto"] = coefficients.numpy(), prototypes.numpy()
    got["priors"] = model.priors.numpy()
    return got


@pytest.mark.parametrize("name", [NAME, "yolact_resnet101_base"])
def test_layers(golden, name) -> None:
    chosen = golden(name)
    got = layers(filled(name, chosen), official_input(chosen))
    assert set(got) == set(chosen.probes)
    for probe, value in got.items():
        largest, rms = chosen.errors(probe, value)
        print(f"{name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        is_saturated = (name, probe) == ("yolact_resnet101_base", "conf")
        limit = MAX_ERROR_OF_SATURATED_CLASSES_STD if is_saturated else MAX_ERROR_STD
        assert largest <= limit, probe
        assert rms <= RMS_ERROR_STD, probe


def test_eager(case) -> None:
    chosen, model, inputs = case
    check_outputs(f"{NAME} eager", run_eager_outputs(model, inputs), chosen.recorded)


def test_cross_class(case) -> None:
    chosen, _, inputs = case
    model = filled("yolact_resnet50_cross_class", chosen)
    boxes, scores, labels, valid, *_ = (column[0] for column in run_eager_outputs(model, inputs))
    matched((boxes[:valid], scores[:valid], labels[:valid]), chosen.recorded, "cc")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(case) -> None:
    chosen, model, inputs = case
    with torch.inference_mode():
        outputs = torch.jit.script(model)(torch.from_numpy(inputs["image"]))
    check_outputs(f"{NAME} TorchScript", tuple(x.numpy() for x in outputs), chosen.recorded)


def test_onnx(case, repository) -> None:
    chosen, model, inputs = case
    graph = (repository / "m" / "1" / "model.onnx").read_bytes()
    got = run_graph_outputs(graph, inputs)
    compared = compare_outputs(got, dict(zip(got, run_eager_outputs(model, inputs), strict=True)))
    print(f"{NAME} ONNX Runtime against eager: {compared}")
    assert compared.is_close
    check_outputs(f"{NAME} ONNX Runtime", tuple(got.values()), chosen.recorded)


def test_images_of_a_batch_do_not_touch(case, repository) -> None:
    _, _, inputs = case
    graph = (repository / "m" / "1" / "model.onnx").read_bytes()
    image = np.repeat(inputs["image"], 5, axis=0)
    image[1] = image[0, :, ::-1]
    image[2] *= 0.5
    image[3] = 0
    image[4] = image[0, :, :, ::-1]
    alone = [run_graph_outputs(graph, {"image": image[i : i + 1]}) for i in range(5)]
    for count in (2, 5):
        together = run_graph_outputs(graph, {"image": image[:count]})
        single = {n: np.concatenate([one[n] for one in alone[:count]]) for n in together}
        compared = compare_outputs(together, single)
        print(f"{NAME} {count} images together against alone: {compared}")
        assert compared.is_close


def test_served(case, repository, serve) -> None:
    chosen, *_ = case
    server = serve("--model-repository", repository).wait_started()
    with Client(server.grpc, timeout_s=600) as client:
        regions = client.segment(chosen.folder.parent / "images" / "public.png", "m").regions
    rows = (
        np.array([region.box for region in regions]),
        np.array([region.score for region in regions]),
        np.array([region.label_id for region in regions]),
    )
    check_masks(f"{NAME} served", rows, [region.mask for region in regions], chosen.recorded)
