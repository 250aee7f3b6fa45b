"""The small Mask R-CNN and PointRend that are bundled with learned weights."""

from __future__ import annotations

from types import MappingProxyType

from segserve.core.tensor import DataType, TensorSpec
from segserve.export.recipe import Provenance, Recipe
from segserve.export.recipes.deeplabv3plus import DEMO_LABELS
from segserve.export.recipes.detectors import DetectorRecipe

_ROWS = 20
_POINTREND_CELLS, _COARSE_CELLS = 224, 7
_INPUT = (
    "RGB, longest side 320 (bilinear), padded to a bucket, /255, ImageNet mean and std; "
    "height and width before padding"
)
_NETWORKS = "segserve.export.models.demo_rcnn"
_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "mask_rule": "box",
        "mask_paste": "detectron2",
        "image_input": "image",
        "image_size_input": "image_size",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
        "resize": "longest_side:320",
        "interpolation": "fast_bilinear",
        "shape_policy": "pad",
        "buckets": "240x320,320x240,320x320",
        "pad_value": "mean",
        "nms": "greedy",
        "nms_iou_threshold": "0.5",
        "nms_proposal_iou_threshold": "0.7",
    }
)

RECIPES: tuple[Recipe, ...] = (
    DetectorRecipe(
        name="mask_rcnn_demo",
        aliases=(),
        provenance=Provenance(
            source="segserve.training.demo_mask_rcnn",
            keys="as d2_mask_rcnn_R50_FPN_3x; bare or under model_state",
            input_rule=_INPUT,
            output_rule="as d2_mask_rcnn_R50_FPN_3x, with at most 20 objects",
        ),
        network=f"{_NETWORKS}:demo_mask_rcnn",
        parameters=_PARAMETERS,
        labels=DEMO_LABELS[1:],
        detections=_ROWS,
        max_batch_size=8,
    ),
    DetectorRecipe(
        name="pointrend_demo",
        aliases=(),
        provenance=Provenance(
            source="segserve.training.demo_pointrend",
            keys="as d2_pointrend_rcnn_R50_FPN_3x; bare or under model_state",
            input_rule=_INPUT,
            output_rule="as d2_pointrend_rcnn_R50_FPN_3x, with at most 20 objects; the masks "
            "before refining, too",
        ),
        network=f"{_NETWORKS}:demo_pointrend",
        parameters=_PARAMETERS,
        labels=DEMO_LABELS[1:],
        mask_cells=_POINTREND_CELLS,
        more_outputs=(
            TensorSpec("coarse_masks", DataType.FP32, (_ROWS, _COARSE_CELLS, _COARSE_CELLS)),
        ),
        detections=_ROWS,
        max_batch_size=8,
    ),
)
