"""Minimum cuts of 8-connected grids, by maximum flow.

Boykov and Kolmogorov, IEEE TPAMI 26(9), 2004. Written anew: the well-known codes are GPL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(dy, dx); the way back from neighbour d is 7 - d."""
_COUNT = len(NEIGHBOURS)
_SOURCE = 1
_RANK = 3


@dataclass(frozen=True)
class Cut:
    """A minimum cut.

    Parameters
    ----------
    source_side : bool [H, W]
        Pixels that hang on the source; the smallest such set.
    value : float
        What the cut costs, which is the maximum flow.
    """

    source_side: npt.NDArray[np.bool_]
    value: float


def _kernel() -> Any:
    from segserve.ops.classical import max_flow_kernel  # noqa: PLC0415  numba opens late

    return max_flow_kernel


def minimum_cut(to_source: Array, to_sink: Array, links: Array) -> Cut:
    """Cut a grid in two as cheaply as can be.

    Parameters
    ----------
    to_source, to_sink : float [H, W]
        Capacities of each pixel's edge from the source and to the sink, not negative.
    links : float [8, H, W]
        Capacities from each pixel to its `NEIGHBOURS`, not negative; those that lead out of the
        grid are ignored.

    Raises
    ------
    InvalidInput
        On other shapes, or a negative capacity.
    """
    if links.ndim != _RANK or len(links) != _COUNT:
        raise InvalidInput(f"links must be [8, H, W], got {list(links.shape)}")
    if not to_source.shape == to_sink.shape == links.shape[1:]:
        raise InvalidInput(
            f"capacities must have one size, got {to_source.shape}, {to_sink.shape}, {links.shape}"
        )
    if min(to_source.min(), to_sink.min(), links.min()) < 0:
        raise InvalidInput("capacities must not be negative")
    height, width = to_source.shape
    padded = np.zeros((_COUNT, height + 2, width + 2), np.float32)
    inside = np.zeros((height + 2, width + 2), bool)
    inside[1:-1, 1:-1] = True
    for d, (dy, dx) in enumerate(NEIGHBOURS):
        reachable = inside[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        padded[d, 1:-1, 1:-1] = np.where(reachable, links[d], 0)
    terminals = np.zeros((height + 2, width + 2), np.float32)
    terminals[1:-1, 1:-1] = to_source - to_sink
    trees = np.empty(terminals.size, np.int8)
    offsets = np.array([dy * (width + 2) + dx for dy, dx in NEIGHBOURS], np.int64)
    flow = _kernel().max_flow(padded.reshape(_COUNT, -1), terminals.reshape(-1), offsets, trees)
    side = trees.reshape(terminals.shape)[1:-1, 1:-1] == _SOURCE
    straight = float(np.minimum(to_source, to_sink).sum(dtype=np.float64))
    return Cut(np.ascontiguousarray(side), flow + straight)
