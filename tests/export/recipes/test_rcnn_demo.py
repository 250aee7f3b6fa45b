import pytest

from segserve.export.recipes.rcnn_demo import RECIPES
from segserve.families.factory import build_family
from segserve.scenes import CLASS_NAMES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_family_takes_the_configuration(recipe) -> None:
    config = recipe.config()
    assert config.labels == CLASS_NAMES[1:]
    assert [spec.name for spec in config.inputs] == list(recipe.sample_inputs())
    family = build_family(config.parameters, config.labels, config.inputs, config.served_outputs)
    assert family is not None
    assert family.describe()["kind"] == "instance"
    assert family.image_input == "image"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_outputs_are_what_the_network_gives(recipe) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    with torch.inference_mode():
        columns = recipe.build()(*(torch.from_numpy(x) for x in recipe.sample_inputs().values()))
    assert len(columns) == len(recipe.config().outputs)
    for column, spec in zip(columns, recipe.config().outputs, strict=True):
        assert tuple(column.shape) == (2, *spec.dims), spec.name
