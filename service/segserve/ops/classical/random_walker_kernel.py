"""Compiled loops of the random walker; arguments are trusted (`segserve.ops.classical.random_walker`)."""
# ruff: noqa: E501  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], boolean[:, ::1], float32[:, ::1])",
    fastmath={"contract"},
)
def laplacian(values, right, down, free, out):
    """Multiply by the graph's Laplacian; rows of pixels that are not free are 0."""
    height, width = values.shape
    for y in range(height):
        for x in range(width):
            total = np.float32(0)
            if free[y, x]:
                here = values[y, x]
                if x + 1 < width:
                    total += right[y, x] * (here - values[y, x + 1])
                if x > 0:
                    total += right[y, x - 1] * (here - values[y, x - 1])
                if y + 1 < height:
                    total += down[y, x] * (here - values[y + 1, x])
                if y > 0:
                    total += down[y - 1, x] * (here - values[y - 1, x])
            out[y, x] = total
