"""Hints of a person or a program: clicks, boxes, rough masks, in pixels of the source image."""

from __future__ import annotations

from dataclasses import dataclass

from segserve.core.regions import Rle


@dataclass(frozen=True)
class Point:
    """A click.

    Parameters
    ----------
    x, y : float
        Pixels from the left and from the top.
    inside : bool
        False for a click on what does not belong to the object.
    """

    x: float
    y: float
    inside: bool = True


@dataclass(frozen=True)
class Prompt:
    """What is pointed at; one object.

    Parameters
    ----------
    points : tuple of Point
    box : (x1, y1, x2, y2) or None
        x2 and y2 exclusive.
    mask : Rle or None
        A rough mask at the source image's size.
    """

    points: tuple[Point, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Rle | None = None
