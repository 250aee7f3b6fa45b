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
from segserve.ops.classical.segmentation import Floats, Stop, check_stop, never

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(dy, dx); the way back from neighbour d is 7 - d."""
_COUNT = len(NEIGHBOURS)
_SOURCE = 1
_RANK = 3
_PATHS_AT_A_TIME = 20_000


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


def minimum_cut(to_source: Array, to_sink: Array, links: Array, *, stop: Stop = never) -> Cut:
    """Cut a grid in two as cheaply as can be.

    Parameters
    ----------
    to_source, to_sink : float [H, W]
        Capacities of each pixel's edge from the source and to the sink, not negative.
    links : float [8, H, W]
        Capacities from each pixel to its `NEIGHBOURS`, not negative; those that lead out of the
        grid are ignored.
    stop : callable
        Asked every some thousand paths of the flow.

    Raises
    ------
    InvalidInput
        On other shapes, or a negative capacity.
    Cancelled
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
    offsets = np.array([dy * (width + 2) + dx for dy, dx in NEIGHBOURS], np.int64)
    flow, trees = _flow(padded.reshape(_COUNT, -1), terminals.reshape(-1), offsets, stop)
    side = trees.reshape(terminals.shape)[1:-1, 1:-1] == _SOURCE
    straight = float(np.minimum(to_source, to_sink).sum(dtype=np.float64))
    return Cut(np.ascontiguousarray(side), flow + straight)


def _flow(
    links: Floats, terminals: Floats, offsets: npt.NDArray[np.int64], stop: Stop
) -> tuple[float, npt.NDArray[np.int8]]:
    """Give the flow and every node's tree; the capacities are left as residuals."""
    kernel, nodes = _kernel(), terminals.size
    trees, parents = np.empty(nodes, np.int8), np.empty(nodes, np.int8)
    stamps, depths = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    queue, queued = np.empty(nodes, np.int64), np.zeros(nodes, np.bool_)
    orphans, state = np.empty(nodes + 1, np.int64), np.empty(4, np.int64)
    kernel.begin(terminals, trees, parents, depths, queue, queued, state)
    flow, is_over = 0.0, False
    while not is_over:
        check_stop(stop)
        flow += kernel.max_flow(
            links, terminals, offsets, trees, parents, stamps, depths, queue, queued, orphans,
            state, _PATHS_AT_A_TIME,
        )  # fmt: skip
        _, waiting, _, current = state
        is_over = bool(waiting == 0 and current < 0)
    return flow, trees
