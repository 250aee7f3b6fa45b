import pytest

from segserve.export.recipes.solo_demo import RECIPES
from segserve.scenes import CLASS_NAMES

(RECIPE,) = RECIPES


def test_the_configuration_fits_itself() -> None:
    config = RECIPE.config()
    assert config.labels == CLASS_NAMES[1:]
    assert [spec.name for spec in config.inputs] == list(RECIPE.sample_inputs())
    assert (config.parameters["family"], config.parameters["mask_rule"]) == ("instance", "full")


def test_the_weights_stay_below_five_megabytes() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    model = RECIPE.build()
    assert sum(p.numel() * p.element_size() for p in model.parameters()) < 5e6
    with torch.inference_mode():
        scores, labels, valid, masks = model(torch.zeros(2, 3, 96, 128))
    assert scores.shape == labels.shape == (2, 20)
    assert (valid.shape, valid.dtype) == ((2,), torch.int64)
    assert masks.shape == (2, 20, 24, 32)
