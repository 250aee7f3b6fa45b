"""Seeded synthetic scenes with exact ground truth; needs numpy alone."""

from segserve.scenes.scene import CLASS_NAMES, Scene, make_scene

__all__ = ["CLASS_NAMES", "Scene", "make_scene"]
