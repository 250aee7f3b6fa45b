import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.messages import RawImage
from segserve.core.options import SegmentOptions
from segserve.export.recipes.detectron2_semantic import CITYSCAPES_LABELS, RECIPES
from segserve.families.factory import build_family
from segserve.families.semantic import SemanticFamily

POINTREND, DEEPLAB = RECIPES


def family_of(recipe) -> SemanticFamily:
    config = recipe.config()
    family = build_family(dict(config.parameters), config.labels, config.inputs, config.outputs)
    assert isinstance(family, SemanticFamily)
    return family


def blank(height: int, width: int) -> RawImage:
    return RawImage(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_server_understands_the_configuration(recipe) -> None:
    config = recipe.config()
    assert family_of(recipe).rule.two_step
    assert len(config.labels) == len(set(CITYSCAPES_LABELS)) == 19
    assert [spec.name for spec in config.inputs] == list(recipe.sample_inputs())
    assert len(recipe.sample_inputs()["image"]) == 2


def test_sizes_of_the_network_s_input() -> None:
    plan = family_of(POINTREND).plan(blank(375, 500), SegmentOptions())
    assert plan.inputs_shapes == {"image": (3, 1024, 1376)}
    plan = family_of(DEEPLAB).plan(blank(375, 750), SegmentOptions())
    assert plan.inputs_shapes == {"image": (3, 1024, 2048)}


def test_deeplab_refuses_what_the_official_program_refuses() -> None:
    family = family_of(DEEPLAB)
    for size in ((1024, 2048), (2048, 1024), (99, 99)):
        family.plan(blank(*size), SegmentOptions())
    with pytest.raises(InvalidInput, match=r"1365x1024.*multiples of 1024x512"):
        family.plan(blank(375, 500), SegmentOptions())


@pytest.mark.timeout(600)
def test_the_exported_graph_equals_the_network() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.compare import compare, noise_like
    from segserve.export.models.pointrend_semantic import PointRendSemantic, PointRendWidths
    from segserve.export.to_onnx import to_onnx

    torch.manual_seed(0)
    widths = PointRendWidths((1, 1, 1, 1), stem=4, pyramid=8, coarse=32, points=64)
    model = PointRendSemantic(len(CITYSCAPES_LABELS), widths).eval()
    graph = to_onnx(model, POINTREND)
    # In the last the first step has fewer positions than points.
    for shape in ((1, 3, 64, 96), (2, 3, 96, 64), (5, 3, 64, 64), (1, 3, 32, 64)):
        assert compare(model, graph, noise_like({"image": np.zeros(shape, np.float32)})).is_close


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_sizes_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = recipe.build()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.zeros(1, 3, 1024, 2048))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    row = (
        f"| `{recipe.name}` | `{recipe.aliases[0]}` | {parameters:.2f} M | "
        f"{counter.get_total_flops() / 1e9:.1f} |"
    )
    assert row in (repo_root / "docs" / "models.md").read_text().splitlines()
