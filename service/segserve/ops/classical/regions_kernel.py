"""Compiled loops over label maps; arguments are trusted (`segserve.ops.classical.regions`)."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit("int64(int32[:, ::1], int32[:, ::1], int64)")
def connect(labels, out, min_size):
    """Give numbers to the 4-connected pieces of a label map; smaller ones join the piece left or above.

    As SLIC's authors do it: in scan order, a small piece takes the number of a neighbour that was
    numbered before it. Returns how many numbers there are.
    """
    height, width = labels.shape
    queue = np.empty((height * width, 2), np.int32)
    out[:] = -1
    count = 0
    for y in range(height):
        for x in range(width):
            if out[y, x] >= 0:
                continue
            neighbour = -1
            if x > 0:
                neighbour = out[y, x - 1]
            elif y > 0:
                neighbour = out[y - 1, x]
            value = labels[y, x]
            out[y, x] = count
            queue[0, 0], queue[0, 1] = y, x
            first, last = 0, 1
            while first < last:
                qy, qx = queue[first, 0], queue[first, 1]
                first += 1
                for d in range(4):
                    ny = qy + (d == 0) - (d == 1)
                    nx = qx + (d == 2) - (d == 3)
                    if (
                        0 <= ny < height
                        and 0 <= nx < width
                        and out[ny, nx] < 0
                        and labels[ny, nx] == value
                    ):
                        out[ny, nx] = count
                        queue[last, 0], queue[last, 1] = ny, nx
                        last += 1
            if last < min_size and neighbour >= 0:
                for n in range(last):
                    out[queue[n, 0], queue[n, 1]] = neighbour
            else:
                count += 1
    return count
