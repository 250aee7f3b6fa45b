"""All recipes, by name and alias."""

from __future__ import annotations

from difflib import get_close_matches

from segserve.core.errors import NotFound
from segserve.export.recipe import Recipe
from segserve.export.recipes import (
    deeplabv3plus,
    detectron2_semantic,
    mask_rcnn,
    panoptic_fpn,
    pointrend_instance,
    pointrend_semantic_demo,
    polarmask,
    rcnn_demo,
    solo,
    solo_demo,
    torchvision_semantic,
    yolact,
    yolact_demo,
)

RECIPES: tuple[Recipe, ...] = (
    *deeplabv3plus.RECIPES,
    *detectron2_semantic.RECIPES,
    *mask_rcnn.RECIPES,
    *panoptic_fpn.RECIPES,
    *pointrend_instance.RECIPES,
    *pointrend_semantic_demo.RECIPES,
    *polarmask.RECIPES,
    *rcnn_demo.RECIPES,
    *solo.RECIPES,
    *solo_demo.RECIPES,
    *torchvision_semantic.RECIPES,
    *yolact.RECIPES,
    *yolact_demo.RECIPES,
)


def find_recipe(name: str) -> Recipe:
    """Give the recipe of that name or alias.

    Raises
    ------
    NotFound
        Names the nearest recipe.
    """
    known = {n: recipe for recipe in RECIPES for n in (recipe.name, *recipe.aliases)}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "segserve export --list shows them"
    raise NotFound(f"no recipe {name!r}; {hint}")
