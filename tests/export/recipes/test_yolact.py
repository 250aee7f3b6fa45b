import numpy as np
import pytest

from segserve.export.recipes.yolact import RECIPES, YolactRecipe


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_configuration_fits_itself(recipe) -> None:
    config = recipe.config()
    (image,) = config.inputs
    assert recipe.sample_inputs()["image"].shape == (2, *image.dims)
    assert config.parameters["resize"] == f"stretch:{recipe.size_px}x{recipe.size_px}"
    assert len(config.labels) == 80
    assert recipe.name.startswith("yolact")


def test_variants() -> None:
    by_name = {recipe.name: recipe for recipe in RECIPES}
    assert by_name["yolact_darknet53"].config().parameters["scale"] == "1/255"
    assert "mean" not in by_name["yolact_darknet53"].config().parameters
    assert by_name["yolact_resnet50_cross_class"].config().outputs[1].dims == (200,)
    assert by_name["yolact_resnet50"].config().outputs[5].dims == (138, 138, 32)
    assert by_name["yolact_resnet50"].config().parameters["nms"] == "fast"
    assert by_name["yolact_resnet50_cross_class"].config().parameters["nms"] == "fast_cross_class"
    assert by_name["yolact_im700"].config().outputs[5].dims == (176, 176, 32)


@pytest.mark.parametrize("cross_class", [False, True])
def test_the_exported_graph_is_the_network(cross_class) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.compare import compare_outputs, run_eager_outputs, run_graph_outputs
    from segserve.export.models.yolact import Yolact, YolactShape
    from segserve.export.models.yolact_detection import FastNmsRule
    from segserve.export.to_onnx import to_onnx

    recipe = YolactRecipe("tiny", (), "resnet_slim", 100, cross_class=cross_class)
    torch.manual_seed(0)
    rule = FastNmsRule(rows=200 if cross_class else 100, cross_class=cross_class)
    model = Yolact(YolactShape("resnet_slim", 100, channels=16, rule=rule)).eval()
    with torch.no_grad():
        model.prediction_layers[0].conf_layer.weight.mul_(100)  # else all are background
    graph = to_onnx(model, recipe)
    images = np.random.default_rng(0).standard_normal((5, 3, 100, 100)).astype(np.float32)
    singles = [run_graph_outputs(graph, {"image": images[n : n + 1]}) for n in range(5)]
    for count in (1, 2, 5):
        inputs = {"image": images[:count]}
        got = run_graph_outputs(graph, inputs)
        eager = dict(zip(got, run_eager_outputs(model, inputs), strict=True))
        alone = {name: np.concatenate([one[name] for one in singles[:count]]) for name in got}
        assert eager["valid"].sum() > 10 * count
        assert compare_outputs(got, eager).is_close
        assert compare_outputs(got, alone).is_close


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_sizes_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = recipe.build()
        image = torch.zeros(1, 3, recipe.size_px, recipe.size_px)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model.raw(image)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    names = ", ".join(f"`{alias}`" for alias in recipe.aliases)
    row = (
        f"| `{recipe.name}` | {names}{' ' * bool(names)}| {parameters:.2f} M | "
        f"{counter.get_total_flops() / 1e9:.1f} |"
    )
    assert row in (repo_root / "docs" / "models.md").read_text().splitlines()
