"""The small YOLACT: what its recipe says, and what the bundled weights find."""

import numpy as np
import pytest

from segserve.core.messages import RawImage
from segserve.core.options import SegmentOptions
from segserve.evaluation.coco_ap import average_precision
from segserve.evaluation.coco_match import Detection
from segserve.evaluation.instance_sets import synthetic_instances
from segserve.export.recipes.yolact_demo import RECIPES
from segserve.families.factory import build_family
from segserve.scenes import CLASS_NAMES

(RECIPE,) = RECIPES


def test_the_configuration_fits_itself() -> None:
    config = RECIPE.config()
    assert config.labels == CLASS_NAMES[1:]
    assert [spec.name for spec in config.inputs] == list(RECIPE.sample_inputs())
    assert (config.parameters["family"], config.parameters["mask_rule"]) == (
        "instance",
        "prototypes",
    )
    assert (config.parameters["nms"], config.parameters["nms_iou_threshold"]) == ("fast", "0.5")


def test_the_outputs_are_as_declared_and_the_weights_below_five_megabytes() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    model = RECIPE.build()
    assert sum(p.numel() * p.element_size() for p in model.parameters()) < 4.9e6
    assert float(RECIPE.config().parameters["nms_iou_threshold"]) == model.detect.iou_threshold
    with torch.inference_mode():
        outputs = model(torch.zeros(2, 3, 320, 320))
    declared = [(2, *spec.dims) for spec in RECIPE.config().outputs]
    assert [tuple(output.shape) for output in outputs] == declared


def test_the_bundled_graph_is_small(repo_root) -> None:
    graph = repo_root / "model_repository" / RECIPE.name / "1" / "model.onnx"
    assert graph.stat().st_size <= 5_000_000


def test_the_bundled_model_reaches_its_goal_on_a_sample(repo_root) -> None:
    """Served steps without the server: preparation, network, regions."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the cpu extra: make demo")
    path = repo_root / "model_repository" / RECIPE.name / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    config, options = RECIPE.config(), SegmentOptions()
    family = build_family(config.parameters, config.labels, config.inputs, config.served_outputs)
    assert family is not None
    truths, found = [], []
    for scene in synthetic_instances(16).images:
        truths += scene.read_truths()
        image = RawImage(scene.read_picture())
        plan = family.plan(image, options)
        inputs = {"image": np.zeros((1, *plan.inputs_shapes["image"]), np.float32)}
        family.preprocess(image, plan, {"image": inputs["image"][0]})
        outputs = {n: column[0] for n, column in zip(names, session.run(None, inputs), strict=True)}
        outputs["valid"] = outputs["valid"].reshape(1)
        regions = family.postprocess(outputs, plan, options).regions
        for row, (x1, y1, x2, y2) in enumerate(regions.boxes.tolist()):
            category, score = int(regions.labels[row]) + 1, float(regions.scores[row])
            box = (x1, y1, x2 - x1, y2 - y1)
            found.append(Detection(scene.image_id, category, score, box, regions.masks[row]))
    assert average_precision(truths, found, "mask").ap50 >= 0.7
