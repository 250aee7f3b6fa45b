"""TorchScript against eager networks and, served, against the official label map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.checkpoint import match_state_dict  # noqa: E402  same
from segserve.export.compare import compare_outputs, run_eager_outputs  # noqa: E402  same
from segserve.export.config_text import TORCHSCRIPT  # noqa: E402  same
from segserve.export.run import Destination, export_checkpoint  # noqa: E402  same
from segserve.export.to_torchscript import run_torchscript, to_torchscript  # noqa: E402  same

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]

NAMES = (
    "vainf_deeplabv3plus_mobilenet_os16",
    "vainf_deeplabv3plus_resnet50_os16",
    "vainf_deeplabv3plus_resnet101_os16",
    "torchvision_deeplabv3_resnet50",
    "torchvision_fcn_resnet50",
    "d2_deeplab_v3_plus_R103_os16",
    "d2_pointrend_semantic_R101_FPN_cityscapes",
    "torchvision_maskrcnn_resnet50_fpn",
    "torchvision_maskrcnn_resnet50_fpn_v2",
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


def published_pieces(official, recipe):
    """Two pieces of the published picture in the recipe's sample: detectors see little in noise."""
    sample = dict(recipe.sample_inputs())
    rule = recipe.config().parameters
    mean, std = (np.float32(rule.get(k, d).split(",")) for k, d in (("mean", "0"), ("std", "1")))
    pixels = official.image[..., :: -1 if rule["channel_order"] == "bgr" else 1]
    pixels = (pixels / (255 if rule.get("scale") == "1/255" else 1) - mean) / std
    height, width = sample["image"].shape[2:]
    tiled = np.tile(pixels, (-(-height // pixels.shape[0]), -(-width // pixels.shape[1]), 1))
    pieces = [tiled[:height, :width], tiled[-height:, -width:]]
    image = np.stack(pieces).transpose(0, 3, 1, 2).astype(np.float32)
    return sample | {"image": np.ascontiguousarray(image)}


def turned(inputs):
    """The same in the other format, and one image more: what a recording could have fixed."""
    other = {n: x.swapaxes(2, 3) if n == "image" else x[:, ::-1] for n, x in inputs.items()}
    return {name: np.concatenate([x, x[:1]]) for name, x in other.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_program_gives_the_bits_of_the_network(name, golden):
    recipe, official = find_recipe(name), golden(name)
    model = recipe.build()
    match_state_dict(model, weights_of(official))
    program = to_torchscript(model, recipe)
    names = [spec.name for spec in recipe.config().outputs]
    pieces = published_pieces(official, recipe)
    rows = []
    for inputs in (pieces, turned(pieces)):
        got = dict(zip(names, run_torchscript(program, inputs), strict=True))
        expected = dict(zip(names, run_eager_outputs(model, inputs), strict=True))
        compared = compare_outputs(got, expected)
        print(f"{name}, {len(inputs['image'])} images: {len(program) / 1e6:.1f} MB, {compared}")
        rows.append(compared.rows)
        for output, value in expected.items():
            np.testing.assert_array_equal(got[output], value, err_msg=output)
    assert rows[0] != 0, "no detection is compared"


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
