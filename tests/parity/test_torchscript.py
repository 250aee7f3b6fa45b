"""TorchScript against eager networks and, served, against the official label map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.checkpoint import match_state_dict  # noqa: E402  same
from segserve.export.compare import noise_like  # noqa: E402  same
from segserve.export.config_text import TORCHSCRIPT  # noqa: E402  same
from segserve.export.run import Destination, export_checkpoint, is_accepted  # noqa: E402  same
from segserve.export.to_torchscript import compare_torchscript, to_torchscript  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

NAMES = (
    "vainf_deeplabv3plus_mobilenet_os16",
    "vainf_deeplabv3plus_resnet50_os16",
    "torchvision_deeplabv3_resnet50",
    "torchvision_fcn_resnet50",
    "d2_deeplab_v3_plus_R103_os16",
    "d2_pointrend_semantic_R101_FPN_cityscapes",
    "torchvision_maskrcnn_resnet50_fpn",
    "d2_mask_rcnn_R50_FPN_3x",
    "d2_pointrend_rcnn_R50_FPN_3x",
    "d2_panoptic_fpn_R50_3x",
    "yolact_resnet50",
    "solo_r50_fpn_3x",
    "decoupled_solo_r50_fpn_3x",
    "solov2_r50_fpn_3x",
    "polarmask_r50_768_1x",
)
MIN_AGREEMENT = 0.999


def weights_of(official):
    return {key: torch.from_numpy(value) for key, value in official.weights().items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_program_computes_what_the_network_does(name, golden):
    recipe = find_recipe(name)
    model = recipe.build()
    match_state_dict(model, weights_of(golden(name)))
    program = to_torchscript(model, recipe)
    comparison = compare_torchscript(model, program, recipe, noise_like(recipe.sample_inputs()))
    print(f"{name}: {len(program) / 1e6:.1f} MB, {comparison}")
    assert is_accepted(comparison, recipe.config()), comparison


def test_the_served_label_map_is_the_official_one(golden, serve, tmp_path):
    name = "vainf_deeplabv3plus_mobilenet_os16"
    official = golden(name)
    checkpoint = tmp_path / "official.pth"
    torch.save({"model_state": weights_of(official)}, checkpoint)
    destination = Destination(tmp_path / "models", "m", backend=TORCHSCRIPT)
    export_checkpoint(find_recipe(name), checkpoint, destination)
    server = serve("--model-repository", tmp_path / "models").wait_started()
    with Client(server.grpc) as client:
        picture = official.folder.parent / "images" / "public.png"
        answer = client.segment(picture, "m", SegmentOptions(mask_format=MaskFormat.RAW))
    agreement = float(np.mean(answer.label_map() == official.labels))
    print(f"{name} served as TorchScript: {agreement:.5%}")
    assert agreement >= MIN_AGREEMENT
