"""Two-stage detectors' recipes: what they say fits the networks, the server and the goldens."""

import json

import pytest

from segserve.export.catalogue import find_recipe
from segserve.export.recipes import mask_rcnn, panoptic_fpn, pointrend_instance
from segserve.export.recipes.coco_labels import COCO_80, COCO_91, COCO_STUFF_54
from segserve.export.recipes.detectors import DETECTIONS
from segserve.families.factory import build_family

RECIPES = (*mask_rcnn.RECIPES, *panoptic_fpn.RECIPES, *pointrend_instance.RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_family_takes_the_configuration(recipe) -> None:
    config = recipe.config()
    family = build_family(config.parameters, config.labels, config.inputs, config.served_outputs)
    assert family is not None
    assert family.describe()["kind"] == config.parameters["family"]
    assert family.image_input == "image"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_samples_fit_the_inputs(recipe) -> None:
    samples = recipe.sample_inputs()
    assert [spec.name for spec in recipe.config().inputs] == list(samples)
    assert len(samples["image"]) == len(samples["image_size"]) > 1
    assert (samples["image_size"] <= samples["image"].shape[2:]).all()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_golden_has_the_networks_names_and_shapes(recipe, goldens) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    manifest = json.loads((goldens / recipe.name / "manifest.json").read_text())
    with torch.device("meta"):
        state = recipe.build().state_dict()
    expected = {entry["key"]: tuple(entry["shape"]) for entry in manifest["entries"]}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_sizes_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    with torch.device("meta"):
        model = recipe.build()
    millions = sum(value.numel() for value in model.state_dict().values()) / 1e6
    aliases = ", ".join(f"`{alias}`" for alias in recipe.aliases)
    row = f"| `{recipe.name}` | {aliases} | {millions:.2f} M |"
    assert row in (repo_root / "docs" / "models.md").read_text()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_suppressions_that_are_told_are_those_of_the_networks(recipe) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from segserve.export.models.detections import DetectionRule
    from segserve.export.models.proposals import ProposalRule

    told = recipe.config().parameters
    assert told["nms"] == "greedy"
    assert float(told["nms_iou_threshold"]) == DetectionRule().iou_threshold
    assert float(told["nms_proposal_iou_threshold"]) == ProposalRule().iou_threshold


def test_rows_of_the_outputs() -> None:
    dims = {spec.name: spec.dims for spec in find_recipe("pointrend_rcnn_r50_fpn").config().outputs}
    assert dims == {
        "boxes": (DETECTIONS, 4),
        "scores": (DETECTIONS,),
        "labels": (DETECTIONS,),
        "valid": (),
        "masks": (DETECTIONS, 224, 224),
    }


def test_labels() -> None:
    assert (len(COCO_91), len(COCO_80), len(COCO_STUFF_54)) == (91, 80, 54)
    assert (COCO_91[1], COCO_91[12], COCO_91[90]) == ("person", "N/A", "toothbrush")
    assert (COCO_80[0], COCO_80[11], COCO_80[79]) == ("person", "stop sign", "toothbrush")
    panoptic = find_recipe("panoptic_fpn_r50").config().labels
    assert (len(panoptic), panoptic[80], panoptic[81], panoptic[133]) == (
        134, "N/A", "banner", "rug-merged",
    )  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_documented_flops_are_those_of_the_networks(recipe, repo_root) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from torch.utils.flop_counter import FlopCounterMode

    def picture(model) -> None:
        pyramid = model.backbone(torch.zeros(1, 3, 800, 1088))
        is_torchvision = hasattr(model, "rpn")
        head = model.rpn.head if is_torchvision else model.proposal_generator.rpn_head
        for level in pyramid:
            head(level)
        if hasattr(model, "sem_seg_head"):
            model.sem_seg_head(pyramid[:4])

    def proposals(model) -> None:
        model.roi_heads.boxes(torch.zeros(1000, 256, 7, 7))

    def masks(model) -> None:
        pooled = torch.zeros(100, 256, 14, 14)
        if hasattr(model.roi_heads, "masks"):
            model.roi_heads.masks(pooled)
        elif recipe in pointrend_instance.RECIPES:
            model.roi_heads.mask_head.coarse_head(pooled)
            for _ in range(4):
                points = [torch.zeros(100, channels, 784) for channels in (256, 80)]
                model.roi_heads.mask_head.point_head(*points)
        else:
            model.roi_heads.mask_head(pooled)

    told = []
    with torch.device("meta"), torch.inference_mode():
        model = recipe.build()
        for part in (picture, proposals, masks):
            with FlopCounterMode(display=False) as counter:
                part(model)
            told.append(f"{counter.get_total_flops() / 1e9:.1f}")
    rows = (repo_root / "docs" / "models.md").read_text().splitlines()
    where = [row for row in rows if row.startswith(f"| `{recipe.name}` |")]
    assert sum(f"| {' + '.join(told)}" in row for row in where) == 2
