"""Panoptic FPN's recipe: detectron2's names."""

from __future__ import annotations

from types import MappingProxyType

from segserve.core.tensor import DataType, TensorSpec
from segserve.export.recipe import Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80, COCO_STUFF_54
from segserve.export.recipes.detectors import DETECTRON2_INPUT, DetectorRecipe

_LABELS = (*COCO_80, "N/A", *COCO_STUFF_54[1:])
_PARAMETERS = MappingProxyType(
    {
        **DETECTRON2_INPUT,
        "family": "panoptic",
        "logits_output": "sem_logits",
        "stuff_offset": str(len(COCO_80)),
    }
)

RECIPES: tuple[Recipe, ...] = (
    DetectorRecipe(
        name="d2_panoptic_fpn_R50_3x",
        aliases=("panoptic_fpn_r50",),
        provenance=Provenance(
            source="facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833, "
            "COCO-PanopticSegmentation/panoptic_fpn_R_50_3x.yaml",
            keys="as d2_mask_rcnn_R50_FPN_3x, with sem_seg_head.*; under model",
            input_rule="as d2_mask_rcnn_R50_FPN_3x",
            output_rule="things as d2_mask_rcnn_R50_FPN_3x; stuff bilinear to the network's input, "
            "then to the source size, argmax; merged: things of at least 0.5 by falling score, "
            "half of each free, then stuff of at least 4096 pixels",
        ),
        network="segserve.export.models.panoptic_fpn:PanopticFpn",
        parameters=_PARAMETERS,
        labels=_LABELS,
        things=len(COCO_80),
        more_outputs=(TensorSpec("sem_logits", DataType.FP32, (len(COCO_STUFF_54), -1, -1)),),
    ),
)
