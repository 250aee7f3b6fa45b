"""What official programs fed their networks, against what the server makes of image bytes."""

import hashlib
import json

import numpy as np
import pytest

from segserve.core.messages import EncodedImage
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.image_half import ImageHalf, context_of
from segserve.families.input_rule import parse_input_rule

IMAGENET = {"scale": "1/255", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}
DETECTRON2 = {
    "channel_order": "bgr",
    "mean": "103.53,116.28,123.675",
    "resize": "shortest_side:800,1333",
    "size_rounding": "detectron2",
    "size_multiple": "32",
}
MMCV = {
    "mean": "123.675,116.28,103.53",
    "std": "58.395,57.12,57.375",
    "resize": "shortest_side:800,1333",
    "size_rounding": "mmcv",
    "interpolation": "opencv_bilinear",
    "size_multiple": "32",
}
TORCHVISION_DETECTOR = IMAGENET | {
    "resize": "shortest_side:800,1333",
    "size_rounding": "torchvision",
    "interpolation": "torch_bilinear",
    "normalise_first": "true",
    "size_multiple": "32",
}
TORCHVISION_SEMANTIC = IMAGENET | {"resize": "shortest_side:520", "size_rounding": "floor"}
YOLACT = {
    "mean": "123.68,116.78,103.94",
    "std": "58.40,57.12,57.38",
    "resize": "stretch:550x550",
    "interpolation": "torch_bilinear",
}
POLARMASK = {
    "channel_order": "bgr",
    "mean": "102.9801,115.9465,122.7717",
    "resize": "stretch:768x1280",
    "interpolation": "opencv_bilinear",
    "size_multiple": "32",
}
LARGE = {"resize": "shortest_side:1024,2048"}
DEEPLAB = {"channel_order": "rgb", "mean": MMCV["mean"], "std": MMCV["std"], "size_multiple": "1"}
CASES = [
    ("d2_mask_rcnn_R50_FPN_3x", DETECTRON2, (800, 1067)),
    ("d2_panoptic_fpn_R50_3x", DETECTRON2, (800, 1067)),
    ("d2_pointrend_rcnn_R50_FPN_3x", DETECTRON2, (800, 1067)),
    ("d2_pointrend_semantic_R101_FPN_cityscapes", DETECTRON2 | LARGE, (1024, 1365)),
    ("d2_deeplab_v3_plus_R103_os16", DETECTRON2 | LARGE | DEEPLAB, (1024, 2048)),
    ("solo_r50_fpn_3x", MMCV, (800, 1067)),
    ("decoupled_solo_r50_fpn_3x", MMCV, (800, 1067)),
    ("solov2_r50_fpn_3x", MMCV, (800, 1067)),
    ("polarmask_r50_768_1x", POLARMASK, (768, 1280)),
    ("torchvision_maskrcnn_resnet50_fpn", TORCHVISION_DETECTOR, (800, 1066)),
    ("torchvision_maskrcnn_resnet50_fpn_v2", TORCHVISION_DETECTOR, (800, 1066)),
    ("torchvision_deeplabv3_resnet50", TORCHVISION_SEMANTIC, (520, 693)),
    ("torchvision_fcn_resnet50", TORCHVISION_SEMANTIC, (520, 693)),
    ("vainf_deeplabv3plus_resnet50_os16", IMAGENET, (375, 500)),
    ("yolact_resnet50", YOLACT, (550, 550)),
    ("yolact_resnet101_base", YOLACT, (550, 550)),
]


@pytest.mark.parametrize(("name", "parameters", "content"), CASES)
def test_the_network_sees_what_the_official_program_fed_it(
    golden, name, parameters, content
) -> None:
    chosen = golden(name)
    meta = json.loads(bytes(chosen.recorded["meta"]))
    data = (chosen.folder.parent / meta["image"]).read_bytes()
    spec = TensorSpec("image", DataType.FP32, (3, -1, -1))
    images = ImageHalf(spec, parse_input_rule(parameters), 10**7)
    plan = images.plan(EncodedImage(data))
    assert context_of(plan).placement.content == content
    got = np.empty((1, *plan.inputs_shapes["image"]), np.float32)
    images.prepare(EncodedImage(data), plan, got[0])
    if "input.sample" in chosen.recorded.files:
        largest, _ = chosen.errors("input", got)
        print(f"{name}: {largest:.1e} std")
        assert largest <= 1e-5
    if "input_sha256" in meta:
        assert hashlib.sha256(got.tobytes()).hexdigest() == meta["input_sha256"]
