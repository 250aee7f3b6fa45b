"""YOLACT recipes: dbolya/yolact's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80

if TYPE_CHECKING:
    from torch import nn

_SOURCE = "dbolya/yolact@902073d414728280b496c5f0a59a8e8285b3c13c"
_KEYS = "backbone.*, fpn.*, proto_net.*, prediction_layers.0.*, semantic_seg_conv.*; bare"
_OUTPUT_RULE = (
    "in the graph: score > 0.05, fast NMS 0.5 of the best 200 {of}, best {rows}; masks from the "
    "prototypes, cut to their boxes, bilinear to the source size, > 0.5; boxes in whole pixels"
)
_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "channel_order": "rgb",
        "interpolation": "torch_bilinear",
        "shape_policy": "exact",
        "mask_rule": "prototypes",
        "mask_threshold": "0.5",
    }
)
_RESNET_INPUT = MappingProxyType({"mean": "123.68,116.78,103.94", "std": "58.40,57.12,57.38"})
_DARKNET_INPUT = MappingProxyType({"scale": "1/255"})
_MAX_BATCH_SIZE = 8
_PROTOTYPES = 32
_ROWS, _ROWS_CROSS_CLASS = 100, 200


@dataclass(frozen=True)
class YolactRecipe:
    """One trunk at one size.

    Parameters
    ----------
    name, aliases
        See `Recipe`.
    trunk : str
        See `segserve.export.models.yolact.YolactShape`.
    size_px : int
        Side of the square that pictures are stretched to.
    cross_class : bool
        Fast NMS over all classes together, the original's ``--cross_class_nms``.
    """

    name: str
    aliases: tuple[str, ...]
    trunk: str
    size_px: int = 550
    cross_class: bool = False

    @property
    def provenance(self) -> Provenance:
        """Source, keys and rules."""
        norm = "/255" if self.trunk == "darknet53" else "minus mean, over std"
        size = f"{self.size_px} x {self.size_px}"
        of = "of all classes" if self.cross_class else "of a class"
        return Provenance(
            source=_SOURCE,
            keys=_KEYS,
            input_rule=f"RGB, stretched to {size} (torch bilinear on float), {norm}",
            output_rule=_OUTPUT_RULE.format(of=of, rows=self._rows),
        )

    @property
    def _rows(self) -> int:
        return _ROWS_CROSS_CLASS if self.cross_class else _ROWS

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.yolact import Yolact, YolactShape  # noqa: PLC0415  torch opens late
        from segserve.export.models.yolact_detection import FastNmsRule  # noqa: PLC0415  same

        rule = FastNmsRule(rows=self._rows, cross_class=self.cross_class)
        return Yolact(YolactShape(trunk=self.trunk, size_px=self.size_px, rule=rule)).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images."""
        return {"image": np.zeros((2, 3, self.size_px, self.size_px), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        norm = _DARKNET_INPUT if self.trunk == "darknet53" else _RESNET_INPUT
        size = f"{self.size_px}x{self.size_px}"
        side = 2 * -(-self.size_px // 8)
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, self.size_px, self.size_px)),),
            outputs=(
                TensorSpec("boxes", DataType.FP32, (self._rows, 4)),
                TensorSpec("scores", DataType.FP32, (self._rows,)),
                TensorSpec("labels", DataType.INT64, (self._rows,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("coefficients", DataType.FP32, (self._rows, _PROTOTYPES)),
                TensorSpec("prototypes", DataType.FP32, (side, side, _PROTOTYPES)),
            ),
            max_batch_size=_MAX_BATCH_SIZE,
            parameters={
                **_PARAMETERS,
                **norm,
                "resize": f"stretch:{size}",
                "nms": "fast_cross_class" if self.cross_class else "fast",
                "nms_iou_threshold": "0.5",
            },
            labels=COCO_80,
        )


RECIPES: tuple[Recipe, ...] = (
    YolactRecipe("yolact_resnet50", ("yolact", "yolact_r50"), "resnet50"),
    YolactRecipe("yolact_resnet101_base", ("yolact_base", "yolact_r101"), "resnet101"),
    YolactRecipe("yolact_darknet53", (), "darknet53"),
    YolactRecipe("yolact_im400", (), "resnet101", size_px=400),
    YolactRecipe("yolact_im700", (), "resnet101", size_px=700),
    YolactRecipe("yolact_resnet50_cross_class", (), "resnet50", cross_class=True),
)
