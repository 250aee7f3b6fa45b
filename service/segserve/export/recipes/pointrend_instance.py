"""PointRend's recipe for instances: detectron2's names."""

from __future__ import annotations

from segserve.export.recipe import Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80
from segserve.export.recipes.detectors import DETECTRON2_INPUT, DetectorRecipe

_MASK_CELLS = 224

RECIPES: tuple[Recipe, ...] = (
    DetectorRecipe(
        name="d2_pointrend_rcnn_R50_FPN_3x",
        aliases=("pointrend_rcnn_r50_fpn",),
        provenance=Provenance(
            source="facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833, "
            "projects/PointRend/configs/InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml",
            keys="as d2_mask_rcnn_R50_FPN_3x, with roi_heads.mask_head.{coarse_head,point_head}.*; "
            "under model; the coarse head's older names too",
            input_rule="as d2_mask_rcnn_R50_FPN_3x",
            output_rule="as d2_mask_rcnn_R50_FPN_3x, masks of 224 x 224",
        ),
        network="segserve.export.models.pointrend_instance:PointRendInstance",
        parameters=DETECTRON2_INPUT,
        labels=COCO_80,
        mask_cells=_MASK_CELLS,
    ),
)
