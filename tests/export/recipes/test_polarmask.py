import pytest

from segserve.export.recipes.polarmask import RAYS, RECIPES, ROWS

RECIPE = RECIPES[0]


def test_the_configuration_fits_itself() -> None:
    config = RECIPE.config()
    assert [spec.name for spec in config.inputs] == list(RECIPE.sample_inputs())
    assert config.parameters["image_size_input"] == config.inputs[1].name
    assert {spec.dims[0] for spec in config.outputs if spec.name != "valid"} == {ROWS}
    assert config.outputs[-1].dims == (ROWS, 2, RAYS)
    assert (len(config.labels), config.labels[0]) == (80, "person")
    batch, _, height, width = RECIPE.sample_inputs()["image"].shape
    assert batch > 1, "a batch of one is traced as a constant"
    assert height % 32 == width % 32 == 0


def test_build() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    with torch.device("meta"):
        model = RECIPE.build()
    assert not model.training
    assert model.selection.rows == ROWS
    assert float(RECIPE.config().parameters["nms_iou_threshold"]) == model.selection.iou_threshold
    assert model.bbox_head.polar_mask.out_channels == RAYS
