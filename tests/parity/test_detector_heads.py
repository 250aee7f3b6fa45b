"""Heads of the two-stage detectors against the originals, on the proposals that those chose.

Rows of the heads' probes stand in the order of the proposals, so the recorded ones are fed, as the
goldens ask. With them the detections come in the recorded order too, which is checked before the
masks' rows are compared by position.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

from segserve.export.compare import (  # noqa: E402  after the skip
    MAX_ERROR_STD,
    RMS_ERROR_STD,
    run_eager_outputs,
)
from segserve.export.models.proposals import Proposals  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

MAX_BOX_ERROR_PX = 1e-2
MAX_SCORE_ERROR = 2e-3

INPUT, OUTPUT = True, False
MASKS = {("roi_heads.mask_head", INPUT): ("mask_pool",)}
BOXES = {("roi_heads.box_head", INPUT): ("box_pool",)}
D2_BOXES = BOXES | {("roi_heads.box_predictor", OUTPUT): ("class_logits", "box_deltas")}
D2_MASKS = MASKS | {("roi_heads.mask_head", OUTPUT): ("mask_logits",)}
TORCHVISION = (
    BOXES
    | MASKS
    | {
        ("roi_heads.box_predictor", OUTPUT): ("class_logits", "box_regression"),
        ("roi_heads.mask_predictor", OUTPUT): ("mask_logits",),
    }
)
POINTS = {
    ("roi_heads.mask_head.coarse_head", OUTPUT): ("coarse_mask",),
    ("roi_heads.mask_head.point_head", OUTPUT): ("point_logits",),
}
SEMANTIC = {("sem_seg_head", OUTPUT): ("sem_predictor",)}
HEADS = {
    "torchvision_maskrcnn_resnet50_fpn": TORCHVISION,
    "torchvision_maskrcnn_resnet50_fpn_smooth": TORCHVISION,
    "torchvision_maskrcnn_resnet50_fpn_v2": TORCHVISION,
    "d2_mask_rcnn_R50_FPN_3x": D2_BOXES | D2_MASKS,
    "d2_pointrend_rcnn_R50_FPN_3x": D2_BOXES | POINTS,
    "d2_panoptic_fpn_R50_3x": D2_BOXES | D2_MASKS | SEMANTIC,
}
"""Module, and whether its input or its output has probes: their names."""
REFINED = {"point_logits.1", "point_logits.2", "point_logits.3"}
"""Points by falling uncertainty, whose near-ties swap; samples of them cannot be sorted."""
BEFORE_HEADS = ("resized", "input", "backbone", "bottom_up", "fpn", "rpn")
AFTER_NETWORK = {"pasted_masks", "sem_seg"}
"""Probes in the picture's own size, which the server makes: `test_detectors.test_served`."""


def keep(names, is_input, got):
    """Give a hook that files a module's input or output under the probes' names."""

    def hook(_module, inputs, out):
        values = inputs if is_input else out if isinstance(out, tuple) else (out,)
        for name, value in zip(names, values, strict=True):
            calls = sum(key.startswith(f"{name}.") for key in got)
            got[f"{name}.{calls}" if name == "point_logits" else name] = value.numpy().copy()

    return hook


def proposals_of(model):
    return model.rpn if hasattr(model, "rpn") else model.proposal_generator


def run_with(model, inputs, hooks):
    """Run the network with forward hooks by module; gives the first image's outputs."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        return [column[0] for column in run_eager_outputs(model, inputs)]
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(scope="module")
def heads(detector_case):
    """What the heads and the network give for the recorded proposals."""
    chosen, _, model, inputs = detector_case
    boxes = torch.from_numpy(chosen.recorded["proposals"])[None]
    fed = Proposals(boxes, torch.zeros(boxes.shape[:2]))
    got: dict[str, np.ndarray] = {}
    hooks = [(proposals_of(model), lambda *_: fed)]
    for (module, is_input), names in HEADS[chosen.folder.name].items():
        hooks.append((model.get_submodule(module), keep(names, is_input, got)))
    outputs = run_with(model, inputs, hooks)
    return got, outputs


def test_detections_come_in_the_recorded_order(detector_case, heads) -> None:
    chosen, recorded = detector_case[0], detector_case[0].recorded
    boxes, scores, labels, valid = heads[1][:4]
    of_network = "boxes_net" if "boxes_net" in recorded.files else "net.boxes"
    assert labels[:valid].tolist() == recorded["labels"].tolist()
    box_error = np.abs(boxes[:valid] - recorded[of_network]).max()
    score_error = np.abs(scores[:valid] - recorded["scores"]).max()
    print(f"{chosen.folder.name}: boxes within {box_error:.1e} px, scores {score_error:.1e}")
    assert box_error <= MAX_BOX_ERROR_PX
    assert score_error <= MAX_SCORE_ERROR


def check_statistics(chosen, probe, value) -> None:
    """Compare what does not depend on the order: mean, std, min, max and rms of all values."""
    value = value.astype(np.float64)
    expected = chosen.recorded[f"{probe}.stats"]
    stats = [value.mean(), value.std(), value.min(), value.max(), np.sqrt(np.mean(value**2))]
    errors = np.abs(stats - expected) / expected[1]
    print(f"{chosen.folder.name} {probe}: mean, std, min, max, rms within {errors.max():.1e} std")
    assert tuple(chosen.recorded[f"{probe}.shape"]) == value.shape
    assert errors[[0, 1, 4]].max() <= RMS_ERROR_STD, probe
    assert errors[2:4].max() <= MAX_ERROR_STD, probe


def test_heads(detector_case, heads) -> None:
    chosen = detector_case[0]
    got, (_, _, _, valid, masks, *_) = heads
    if "net.mask_probs" in chosen.probes:
        got = got | {"net.mask_probs": masks[:valid, None]}
    rest = {probe for probe in chosen.probes if probe.split(".")[0] not in BEFORE_HEADS}
    assert set(got) == rest - AFTER_NETWORK
    for probe, value in got.items():
        if probe in REFINED:
            check_statistics(chosen, probe, value)
            continue
        largest, rms = chosen.errors(probe, value)
        print(f"{chosen.folder.name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        assert largest <= MAX_ERROR_STD, probe
        assert rms <= RMS_ERROR_STD, probe
