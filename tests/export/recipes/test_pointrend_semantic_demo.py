import pytest

from segserve.export.recipes.pointrend_semantic_demo import RECIPES
from segserve.scenes import CLASS_NAMES

(RECIPE,) = RECIPES


def test_the_configuration_fits_itself() -> None:
    config = RECIPE.config()
    assert config.labels == CLASS_NAMES
    assert config.outputs[0].dims == (len(CLASS_NAMES), -1, -1)
    assert [spec.name for spec in config.inputs] == list(RECIPE.sample_inputs())
    multiple = int(config.parameters["size_multiple"])
    sides = [int(s) for b in config.parameters["buckets"].split(",") for s in b.split("x")]
    assert all(side % multiple == 0 for side in sides)


def test_the_weights_stay_below_five_megabytes() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    model = RECIPE.build()
    assert sum(p.numel() * p.element_size() for p in model.parameters()) < 4.9e6
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 96, 128)).shape == (2, 7, 96, 128)
