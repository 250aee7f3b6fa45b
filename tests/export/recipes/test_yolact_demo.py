import pytest

from segserve.export.recipes.yolact_demo import RECIPES
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
    torch = pytest.importorskip("torch")
    model = RECIPE.build()
    assert sum(p.numel() * p.element_size() for p in model.parameters()) < 4.9e6
    assert float(RECIPE.config().parameters["nms_iou_threshold"]) == model.detect.iou_threshold
    with torch.inference_mode():
        outputs = model(torch.zeros(2, 3, 320, 320))
    declared = [(2, *spec.dims) for spec in RECIPE.config().outputs]
    assert [tuple(output.shape) for output in outputs] == declared
