"""PointRend for semantic segmentation, with the parameter names of detectron2's checkpoints.

Written from the paper (Kirillov et al., 2020) and the description of detectron2's
``projects/PointRend/point_rend/{semantic_seg,point_head,point_features}.py``. The logits are
refined where two classes are close, and leave at the size of the network's input; the official
program then cuts the padding off, resizes them to the picture and takes the argmax, which the
server does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._jit_internal import is_scripting
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.detectron2_resnet import Detectron2ResNet
from segserve.export.models.fpn import Detectron2Pyramid
from segserve.export.models.panoptic_fpn import SemanticHead
from segserve.export.models.resnet import EXPANSION, ResNetPyramid

_LEVELS = 4
_STEPS = 2


@dataclass(frozen=True)
class PointRendWidths:
    """Sizes of the network.

    Parameters
    ----------
    depths : tuple of 4 int
        Blocks per stage of the ResNet.
    stem : int
        Channels of its stem; 64 is the published network.
    pyramid : int
        Channels of every level, and of the point head's layers.
    coarse : int
        Channels of the coarse head; a multiple of 32.
    points : int
        Recomputed in each step; all of them where the map has fewer.
    """

    depths: tuple[int, int, int, int] = (3, 4, 23, 3)
    stem: int = 64
    pyramid: int = 256
    coarse: int = 128
    points: int = 8192


class SemanticPointHead(nn.Module):
    """Three 1x1 layers on fine features and coarse logits.

    Parameters
    ----------
    channels : int
        Of the fine features, and of each layer.
    num_classes : int
        Channels of the coarse logits and of what goes out.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv1d(channels + num_classes, channels, 1)
        self.fc2 = nn.Conv1d(channels, channels, 1)
        self.fc3 = nn.Conv1d(channels, channels, 1)
        self.predictor = nn.Conv1d(channels, num_classes, 1)

    @override
    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Map [B, channels, P] and [B, num_classes, P] to logits [B, num_classes, P]."""
        x = functional.relu(self.fc1(torch.cat([fine, coarse], dim=1)))
        x = functional.relu(self.fc3(functional.relu(self.fc2(x))))
        logits: Tensor = self.predictor(x)
        return logits


def sample_maps(features: Tensor, points: Tensor) -> Tensor:
    """Interpolate bilinearly at points; beyond the border there is zero.

    Parameters
    ----------
    features : Tensor
        [B, C, h, w].
    points : Tensor
        [B, P, 2]: x and y, 0 at the left and upper border and 1 at the others.

    Returns
    -------
    Tensor
        [B, C, P].
    """
    grid = (2 * points - 1).unsqueeze(2)
    return functional.grid_sample(features, grid, align_corners=False).squeeze(3)


def _smaller(positions: int, count: int) -> int:
    """Give the smaller one; exported graphs decide it at every run."""
    if is_scripting():
        return min(positions, count)
    smaller: Any = torch.sym_min  # torch has no type for it
    fewest: int = smaller(positions, count)
    return fewest


def closest_calls(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give the positions where the best class leads the second one least.

    Parameters
    ----------
    logits : Tensor
        [B, C, h, w]; at least two classes.
    count : int
        At most so many.

    Returns
    -------
    index : Tensor
        [B, P] int64 into the flat map.
    points : Tensor
        [B, P, 2]: their centres, x and y relative to the map.
    """
    height, width = logits.shape[2], logits.shape[3]
    best = torch.topk(logits, 2, dim=1).values
    doubt = (best[:, 1] - best[:, 0]).flatten(1)
    _, index = torch.topk(doubt, _smaller(height * width, count), dim=1)
    row = torch.div(index, width, rounding_mode="floor")
    # As the official program rounds: its steps are products, and the half is added to them.
    x = 0.5 / width + (index - row * width).to(logits.dtype) * (1.0 / width)
    y = 0.5 / height + row.to(logits.dtype) * (1.0 / height)
    return index, torch.stack([x, y], dim=2)


_script_if_tracing: Any = torch.jit.script_if_tracing  # torch has no type for it
# A recording would keep the sample's number of positions.
_closest_calls: Any = _script_if_tracing(closest_calls)


class PointRendSemanticHead(nn.Module):
    """A coarse head, and the point head that corrects it.

    Parameters
    ----------
    widths : PointRendWidths
    num_classes : int
    """

    def __init__(self, widths: PointRendWidths, num_classes: int) -> None:
        super().__init__()
        self.points = widths.points
        self.coarse_sem_seg_head = SemanticHead(widths.pyramid, widths.coarse, num_classes)
        self.point_head = SemanticPointHead(widths.pyramid, num_classes)

    @override
    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Map p2, p3, p4, p5 to logits [B, num_classes, 4 h, 4 w] for p2 of h x w."""
        coarse: Tensor = self.coarse_sem_seg_head(pyramid)
        logits = coarse
        for _ in range(_STEPS):
            logits = functional.interpolate(
                logits, scale_factor=2, mode="bilinear", align_corners=False
            )
            index, points = _closest_calls(logits, self.points)
            judged = self.point_head(sample_maps(pyramid[0], points), sample_maps(coarse, points))
            flat = logits.flatten(2)
            corrected = flat.scatter(2, index.unsqueeze(1).expand(-1, flat.shape[1], -1), judged)
            logits = corrected.reshape(logits.shape)
        return logits


class PointRendSemantic(nn.Module):
    """A pyramid and the two heads.

    Parameters
    ----------
    num_classes : int
    widths : PointRendWidths, optional
    learns_norms : bool
        The trunk is a ResNet v1.5 whose batch norms learn, for training from nothing; detectron2's
        start from a classifier and never change.
    """

    def __init__(
        self,
        num_classes: int,
        widths: PointRendWidths | None = None,
        *,
        learns_norms: bool = False,
    ) -> None:
        super().__init__()
        widths = widths or PointRendWidths()
        trunk: nn.Module
        if learns_norms:
            trunk = ResNetPyramid(widths.depths, (False, False, False), widths.stem)
        else:
            trunk = Detectron2ResNet(widths.depths, widths.stem)
        channels = [widths.stem * EXPANSION * 2**stage for stage in range(_LEVELS)]
        self.backbone = Detectron2Pyramid(trunk, channels, widths.pyramid)
        self.sem_seg_head = PointRendSemanticHead(widths, num_classes)

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Give logits of every network pixel.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, BGR, minus the mean; sides are multiples of 32.

        Returns
        -------
        Tensor
            [B, num_classes, H, W] float32.
        """
        logits: Tensor = self.sem_seg_head(self.backbone(image)[:_LEVELS])
        return logits
