"""YOLACT's losses.

Written from the paper (Bolya et al., 2019, sections 3 and 4) and the description of
``layers/modules/multibox_loss.py`` of dbolya/yolact.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_HARD_PER_OBJECT = 3


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of objects and of the three times as many hardest backgrounds, per object.

    Parameters
    ----------
    logits : Tensor
        [B, A, 1 + classes], background first.
    classes : Tensor
        int64 [B, A]: 0 for background, from 1 for objects, negative where neither counts.
    """
    entropy = functional.cross_entropy(
        logits.transpose(1, 2), classes.clamp(min=0), reduction="none"
    )
    is_object, is_background = classes > 0, classes == 0
    # Hard is what is least like background; an own ranking for each picture.
    hardness = torch.where(is_background, entropy.detach(), -1.0)
    rank = hardness.argsort(1, descending=True).argsort(1)
    wanted = _HARD_PER_OBJECT * is_object.sum(1, keepdim=True).clamp(min=1)
    counted = is_object | (is_background & (rank < wanted))
    return (entropy * counted).sum() / is_object.sum().clamp(min=1)


def mask_loss(prototypes: Tensor, coefficients: Tensor, masks: Tensor, boxes: Tensor) -> Tensor:
    """Give the mean binary cross-entropy inside each object's true box, [n].

    Parameters
    ----------
    prototypes : Tensor
        [h, w, D], of one picture.
    coefficients : Tensor
        [n, D], of priors that are objects.
    masks : Tensor
        [n, h, w], 0 to 1.
    boxes : Tensor
        [n, 4], true ones, relative to the picture.
    """
    guess = torch.einsum("hwd,nd->nhw", prototypes, coefficients)
    height, width = masks.shape[1:]
    y = (torch.arange(height) + 0.5)[None, :, None] / height
    x = (torch.arange(width) + 0.5)[None, None, :] / width
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    loss = functional.binary_cross_entropy_with_logits(guess, masks, reduction="none")
    return (loss * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def presence_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of a coarse map of each class, the paper's semantic loss.

    Parameters
    ----------
    logits : Tensor
        [B, classes, h, w].
    truth : Tensor
        [B, classes, h, w], 1 where the class is.
    """
    return functional.binary_cross_entropy_with_logits(logits, truth)
