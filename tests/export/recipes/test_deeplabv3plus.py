import pytest

from segserve.export.recipes.deeplabv3plus import DEMO_LABELS, RECIPES, VOC_LABELS


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_configuration_fits_itself(recipe) -> None:
    config = recipe.config()
    assert config.outputs[0].dims == (len(config.labels), -1, -1)
    assert [spec.name for spec in config.inputs] == list(recipe.sample_inputs())
    assert config.parameters["family"] == "semantic"
    assert recipe.sample_inputs()["image"].shape[0] > 1, "a batch of one is traced as a constant"


def test_voc_labels() -> None:
    assert len(VOC_LABELS) == len(set(VOC_LABELS)) == 21
    assert (VOC_LABELS[0], VOC_LABELS[15], VOC_LABELS[20]) == ("background", "person", "tvmonitor")


def test_global_pooling_keeps_the_size_exact_unless_the_model_was_trained_padded() -> None:
    policies = {recipe.name: recipe.config().parameters["shape_policy"] for recipe in RECIPES}
    assert policies.pop("deeplabv3plus_demo") == "pad"
    assert set(policies.values()) == {"exact"}


def test_demo_labels_are_those_of_the_scenes() -> None:
    scenes = pytest.importorskip("segserve.scenes")
    assert scenes.CLASS_NAMES == DEMO_LABELS


@pytest.mark.parametrize(
    ("name", "low_px", "high_px"),
    [("vainf_deeplabv3plus_mobilenet_os8", 16, 8), ("deeplabv3plus_demo", 17, 5)],
)
def test_build_gives_the_stride_and_the_classes(name: str, low_px: int, high_px: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    recipe = next(r for r in RECIPES if r.name == name)
    model = recipe.build()
    assert not model.training
    with torch.inference_mode():
        image = torch.zeros(1, 3, 65, 65)
        assert model(image).shape == (1, len(recipe.config().labels), low_px, low_px)
        assert model.backbone(image)[1].shape[-1] == high_px


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_sizes_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = recipe.build()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.zeros(1, 3, 375, 500))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    alias = f" `{recipe.aliases[0]}`" if recipe.aliases else ""
    row = (
        f"| `{recipe.name}` |{alias} | {parameters:.2f} M | {counter.get_total_flops() / 1e9:.1f} |"
    )
    assert row in (repo_root / "docs" / "models.md").read_text().splitlines()
