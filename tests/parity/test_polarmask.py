"""PolarMask against xieenze/PolarMask: layers, detections, ONNX Runtime, TorchScript, the server.

Rules of the goldens: a detection has a partner of its class, box IoU at least 0.99 and score within
2e-3; at least 97 % must have one. Masks over 50 px: IoU at least 0.99.
"""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
cv2 = pytest.importorskip("cv2")
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

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

NAME = "polarmask_r50_768_1x"
COLUMNS = ("boxes", "scores", "labels", "valid", "contours")
MIN_MATCHED = 0.97
MIN_IOU = 0.99
MAX_SCORE_ERROR = 2e-3
SMALL_MASK_PX = 50
SCALE = np.float32([1280 / 500, 768 / 375])


@pytest.fixture(scope="module")
def case(golden):
    """The golden, the filled network and the official input."""
    chosen = golden(NAME)
    model = find_recipe(NAME).build()
    match_state_dict(model, {k: torch.from_numpy(v) for k, v in chosen.weights().items()})
    pixels = cv2.resize(np.ascontiguousarray(chosen.image[..., ::-1]), (1280, 768))
    image = pixels.astype(np.float32) - np.float32([102.9801, 115.9465, 122.7717])
    inputs = {
        "image": np.ascontiguousarray(image.transpose(2, 0, 1)[None]),
        "source_size": np.float32([[375, 500]]),
    }
    return chosen, model, inputs


@pytest.fixture(scope="module")
def repository(case, tmp_path_factory):
    """The model, exported through a checkpoint file as it is released."""
    folder = tmp_path_factory.mktemp("polarmask")
    torch.save({"meta": {"epoch": 12}, "state_dict": case[1].state_dict()}, folder / "official.pth")
    done = export_checkpoint(
        find_recipe(NAME), folder / "official.pth", Destination(folder / "models", "m")
    )
    print(f"{NAME} {done.graph_bytes / 1e6:.0f} MB, on noise: {done.comparison}")
    return folder / "models"


def overlap(boxes, box):
    """IoU of boxes [N, 4] with one."""
    shared = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None)
    sizes = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, box[None])]
    area = np.prod(shared, axis=1)
    return area / (sizes[0] + sizes[1] - area)


def check(name, boxes, scores, labels, recorded):
    """Match greedily; gives pairs (ours, theirs)."""
    assert np.all(np.diff(scores) <= 0), "by falling score"
    found: list[tuple[int, int]] = []
    for row, box in enumerate(recorded["boxes"]):
        fits = (labels == recorded["labels"][row]) & (overlap(boxes, box) >= MIN_IOU)
        fits &= np.abs(scores - recorded["scores"][row]) <= MAX_SCORE_ERROR
        fits[[ours for ours, _ in found]] = False
        if fits.any():
            found.append((int(np.argmax(fits)), row))
    share = len(found) / max(len(scores), len(recorded["scores"]))
    print(f"{name}: {len(found)} of {len(recorded['scores'])} matched ({len(scores)} ours)")
    assert share >= MIN_MATCHED
    return found


def check_outputs(name, outputs, recorded, *, within_px) -> None:
    boxes, scores, labels, valid, contours = (outputs[column][0] for column in COLUMNS)
    at = boxes[:valid] / np.tile(SCALE, 2)
    found = check(name, at, scores[:valid], labels[:valid], recorded)
    errors = [
        np.abs(contours[ours] / SCALE[:, None] - recorded["contours"][theirs]).max()
        for ours, theirs in found
    ]
    print(f"{name}: corners within {max(errors):.1e} px")
    assert max(errors) <= within_px


def test_eager(case) -> None:
    chosen, model, inputs = case
    got = {"input": inputs["image"]}

    def keep(names):
        def hook(_module, _inputs, out):
            levels = [x if isinstance(x, list) else [x] for x in out]
            for i, level in enumerate(levels):
                got.update({f"{n}.{i}": x.numpy() for n, x in zip(names, level, strict=True)})

        return hook

    maps = ("cls_score", "centerness", "bbox_pred", "mask_pred")
    stages = {"backbone": ("backbone",), "neck": ("fpn",), "bbox_head": maps}
    hooks = [
        model.get_submodule(name).register_forward_hook(keep(names))
        for name, names in stages.items()
    ]
    outputs = dict(zip(COLUMNS, run_eager_outputs(model, inputs), strict=True))
    for hook in hooks:
        hook.remove()
    assert set(got) == set(chosen.probes)
    for probe, value in got.items():
        largest, rms = chosen.errors(probe, value)
        print(f"{NAME} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        assert largest <= MAX_ERROR_STD, probe
        assert rms <= RMS_ERROR_STD, probe
    check_outputs(f"{NAME} eager", outputs, chosen.recorded, within_px=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(case) -> None:
    _, model, inputs = case
    with torch.inference_mode():
        got = torch.jit.script(model)(*(torch.from_numpy(x) for x in inputs.values()))
    compared = compare_outputs(
        dict(zip(COLUMNS, (x.numpy() for x in got), strict=True)),
        dict(zip(COLUMNS, run_eager_outputs(model, inputs), strict=True)),
    )
    print(f"{NAME} TorchScript against eager: {compared}")
    assert compared.is_close


def test_onnx(case, repository) -> None:
    chosen, model, inputs = case
    got = run_graph_outputs((repository / "m" / "1" / "model.onnx").read_bytes(), inputs)
    compared = compare_outputs(
        got, dict(zip(COLUMNS, run_eager_outputs(model, inputs), strict=True))
    )
    print(f"{NAME} ONNX Runtime against eager: {compared}")
    assert compared.is_close
    check_outputs(f"{NAME} ONNX Runtime", got, chosen.recorded, within_px=0.1)


def test_images_of_a_batch_do_not_touch(repository) -> None:
    graph = (repository / "m" / "1" / "model.onnx").read_bytes()
    image = np.random.default_rng(0).standard_normal((5, 3, 256, 320)).astype(np.float32) * 50
    image[2] = 0
    sizes = np.float32([[100, 200], [256, 320], [50, 60], [400, 300], [90, 90]])
    alone = [
        run_graph_outputs(graph, {"image": image[i : i + 1], "source_size": sizes[i : i + 1]})
        for i in range(5)
    ]
    for last in (2, 5):
        together = run_graph_outputs(graph, {"image": image[:last], "source_size": sizes[:last]})
        single = {n: np.concatenate([one[n] for one in alone[:last]]) for n in together}
        compared = compare_outputs(together, single)
        print(f"{NAME} {last} images together against alone: {compared}")
        assert compared.is_close


def test_served(case, repository, serve) -> None:
    chosen, *_ = case
    recorded = chosen.recorded
    server = serve("--model-repository", repository)
    server.wait_event("ready", "started", timeout_s=600)  # on a busy machine
    with Client(server.grpc, timeout_s=600) as client:
        regions = client.segment(chosen.folder.parent / "images" / "public.png", "m").regions
    found = check(
        f"{NAME} served",
        np.array([region.box for region in regions]),
        np.array([region.score for region in regions]),
        np.array([region.label_id for region in regions]),
        recorded,
    )
    official = json.loads(bytes(recorded["masks_rle"]))
    overlaps = []
    for ours, theirs in found:
        area = int(recorded["mask_area"][theirs])
        assert abs(regions[ours].area - area) <= max(20, 0.01 * area)
        if area > SMALL_MASK_PX:
            other = Rle(*official[theirs]["size"], official[theirs]["counts"].encode())
            first, second = rle.decode(regions[ours].mask) > 0, rle.decode(other) > 0
            overlaps.append(float((first & second).sum() / (first | second).sum()))
    print(f"{NAME} served: IoU of {len(overlaps)} masks at least {min(overlaps):.5f}")
    assert min(overlaps) >= MIN_IOU
