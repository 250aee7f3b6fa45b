import pytest

from segserve.export.recipes.solo import RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_configuration_fits_itself(recipe) -> None:
    config = recipe.config()
    assert [spec.name for spec in config.inputs] == list(recipe.sample_inputs())
    assert [spec.name for spec in config.outputs] == ["scores", "labels", "valid", "masks"]
    assert [spec.dims[:1] for spec in config.outputs] == [(100,), (100,), (), (100,)]
    assert (len(config.labels), config.labels[0]) == (80, "person")
    batch, _, height, width = recipe.sample_inputs()["image"].shape
    assert batch > 1, "a batch of one is traced as a constant"
    multiple = int(config.parameters["size_multiple"])
    assert height % multiple == width % multiple == 0


def test_every_network_is_there_once() -> None:
    assert [recipe.network for recipe in RECIPES] == ["solov2", "solo", "decoupled_solo"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_build(recipe) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    with torch.device("meta"):
        model = recipe.build()
    assert not model.training
    assert model.selection.rows == 100
    parameters = recipe.config().parameters
    assert (parameters["nms"], parameters["nms_kernel"]) == ("matrix", "gaussian")
    assert float(parameters["nms_sigma"]) == model.selection.sigma
    assert type(model).__name__.lower() == recipe.network.replace("_", "")
