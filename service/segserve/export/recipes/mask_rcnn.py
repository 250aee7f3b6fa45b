"""Mask R-CNN recipes: torchvision's two, and detectron2's."""

from __future__ import annotations

from segserve.export.recipe import Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80, COCO_91
from segserve.export.recipes.detectors import DETECTRON2_INPUT, TORCHVISION_INPUT, DetectorRecipe

_TORCHVISION_COMMIT = "pytorch/vision@8fb87713a24951e639c494b0f2a8a81b5f8e33a6 (0.28.0)"
_TORCHVISION_IN = (
    "RGB, /255, ImageNet mean and std, then as floats to a shorter side of 800, at most 1333 "
    "(bilinear, sides cut), padded to 32 with zeros"
)
_TORCHVISION_OUT = (
    "score above 0.05, 100 best; boxes to the source size; masks pasted into boxes widened by "
    "30/28 and cut to integers, above 0.5"
)


_TORCHVISION = "segserve.export.models.mask_rcnn_torchvision"


RECIPES: tuple[Recipe, ...] = (
    DetectorRecipe(
        name="torchvision_maskrcnn_resnet50_fpn",
        aliases=("maskrcnn_resnet50_fpn",),
        provenance=Provenance(
            source=_TORCHVISION_COMMIT,
            keys="backbone.{body,fpn}.*, rpn.head.*, roi_heads.*; bare; with or without "
            "num_batches_tracked",
            input_rule=_TORCHVISION_IN,
            output_rule=_TORCHVISION_OUT,
        ),
        network=f"{_TORCHVISION}:TorchvisionMaskRcnn",
        parameters=TORCHVISION_INPUT,
        labels=COCO_91,
    ),
    DetectorRecipe(
        name="torchvision_maskrcnn_resnet50_fpn_v2",
        aliases=("maskrcnn_resnet50_fpn_v2",),
        provenance=Provenance(
            source=_TORCHVISION_COMMIT,
            keys="as maskrcnn_resnet50_fpn, with batch norms in pyramid and heads; bare",
            input_rule=_TORCHVISION_IN,
            output_rule=_TORCHVISION_OUT,
        ),
        network=f"{_TORCHVISION}:mask_rcnn_v2",
        parameters=TORCHVISION_INPUT,
        labels=COCO_91,
    ),
    DetectorRecipe(
        name="d2_mask_rcnn_R50_FPN_3x",
        aliases=("mask_rcnn_r50_fpn", "mask_rcnn_R_50_FPN_3x"),
        provenance=Provenance(
            source="facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833, "
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
            keys="backbone.{bottom_up,fpn_*}.*, proposal_generator.rpn_head.*, roi_heads.*; under "
            "model",
            input_rule="BGR, shorter side 800, at most 1333 (Pillow bilinear), minus the mean, "
            "padded to 32 with zeros",
            output_rule="score above 0.05, 100 best; boxes to the source size, empty ones dropped; "
            "masks sampled at pixel centres, at least 0.5",
        ),
        network="segserve.export.models.mask_rcnn_detectron2:Detectron2MaskRcnn",
        parameters=DETECTRON2_INPUT,
        labels=COCO_80,
    ),
)
