"""The small YOLACT that is bundled with learned weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.deeplabv3plus import DEMO_LABELS

if TYPE_CHECKING:
    from torch import nn

_ROWS = 20
_SIZE_PX = 320
_PROTOTYPES = 16
_PROTOTYPE_SIDE = _SIZE_PX // 4
_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
        "resize": f"stretch:{_SIZE_PX}x{_SIZE_PX}",
        "interpolation": "torch_bilinear",
        "shape_policy": "exact",
        "mask_rule": "prototypes",
        "mask_threshold": "0.5",
        "nms": "fast",
        "nms_iou_threshold": "0.5",
    }
)


@dataclass(frozen=True)
class YolactDemoRecipe:
    """YOLACT with a slim ResNet, for 320 pixels and the scenes' six classes."""

    name: str = "yolact_demo"
    aliases: tuple[str, ...] = ()
    provenance: Provenance = Provenance(  # noqa: RUF009  frozen
        source="segserve.training.demo_yolact",
        keys="as YOLACT's; bare or under model_state",
        input_rule=(
            f"RGB, stretched to {_SIZE_PX} x {_SIZE_PX} (torch bilinear on float), /255, ImageNet "
            "mean and std"
        ),
        output_rule=f"as YOLACT, with at most {_ROWS} objects",
    )

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.yolact import Yolact, YolactShape  # noqa: PLC0415  torch opens late
        from segserve.export.models.yolact_detection import FastNmsRule  # noqa: PLC0415  same

        shape = YolactShape(
            trunk="resnet_slim",
            size_px=_SIZE_PX,
            classes=len(DEMO_LABELS) - 1,
            channels=64,
            prototypes=_PROTOTYPES,
            rectified=False,
            rule=FastNmsRule(rows=_ROWS),
        )
        return Yolact(shape).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images."""
        return {"image": np.zeros((2, 3, _SIZE_PX, _SIZE_PX), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        side = _PROTOTYPE_SIDE
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, _SIZE_PX, _SIZE_PX)),),
            outputs=(
                TensorSpec("boxes", DataType.FP32, (_ROWS, 4)),
                TensorSpec("scores", DataType.FP32, (_ROWS,)),
                TensorSpec("labels", DataType.INT64, (_ROWS,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("coefficients", DataType.FP32, (_ROWS, _PROTOTYPES)),
                TensorSpec("prototypes", DataType.FP32, (side, side, _PROTOTYPES)),
            ),
            max_batch_size=8,
            parameters=_PARAMETERS,
            labels=DEMO_LABELS[1:],
        )


RECIPES: tuple[Recipe, ...] = (YolactDemoRecipe(),)
