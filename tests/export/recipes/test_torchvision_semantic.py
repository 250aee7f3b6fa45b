import numpy as np
import pytest

from segserve.export.catalogue import find_recipe
from segserve.export.recipes.torchvision_semantic import RECIPES
from segserve.families.factory import build_family
from segserve.families.semantic import OutputGrid, SemanticFamily


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_server_understands_the_configuration(recipe) -> None:
    config = recipe.config()
    family = build_family(dict(config.parameters), config.labels, config.inputs, config.outputs)
    assert isinstance(family, SemanticFamily)
    assert family.rule.output_grid is OutputGrid.NETWORK
    assert find_recipe(recipe.aliases[0]) is recipe
    assert [spec.name for spec in config.inputs] == list(recipe.sample_inputs())


def test_the_exported_graph_equals_the_network() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.compare import compare, noise_like
    from segserve.export.models.resnet import ResNetPyramid
    from segserve.export.models.torchvision_semantic import (
        DeepLabV3Head,
        FcnHead,
        TorchvisionSemantic,
    )
    from segserve.export.to_onnx import to_onnx

    recipe = find_recipe("deeplabv3_resnet50")
    torch.manual_seed(0)
    trunk = ResNetPyramid((1, 1, 1, 1), (False, True, True), 4)
    heads = (DeepLabV3Head(128, 16, len(recipe.config().labels)), FcnHead(64, 2))
    model = TorchvisionSemantic(trunk, *heads).eval()
    graph = to_onnx(model, recipe)
    for batch in (1, 2, 5):
        inputs = {"image": np.random.default_rng(batch).random((batch, 3, 81, 113), np.float32)}
        assert compare(model, graph, noise_like(inputs)).is_close


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_sizes_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = recipe.build()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.zeros(1, 3, 520, 693))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    row = (
        f"| `{recipe.name}` | `{recipe.aliases[0]}` | {parameters:.2f} M | "
        f"{counter.get_total_flops() / 1e9:.1f} |"
    )
    assert row in (repo_root / "docs" / "models.md").read_text().splitlines()
