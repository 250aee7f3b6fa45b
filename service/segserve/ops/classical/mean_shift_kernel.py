"""Compiled loops of mean shift; arguments are trusted (`segserve.ops.classical.mean_shift`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit(
    "void(float32[:, :, ::1], int64, int64, int64, float32, int64, float32[:, :, ::1])",
    fastmath={"reassoc", "nsz", "contract"},
)
def shift(planes, first, last, reach, bandwidth, rounds, modes):
    """Move the window of every pixel of some rows to where it stays; writes l, u, v, y, x.

    A window holds the pixels at most `reach` away along either axis and `bandwidth` in colour.
    """
    _, height, width = planes.shape
    limit = bandwidth * bandwidth
    for y in range(first, last):
        for x in range(width):
            cy, cx = np.float32(y), np.float32(x)
            light, u, v = planes[0, y, x], planes[1, y, x], planes[2, y, x]
            for _ in range(rounds):
                top, bottom = max(0, int(cy + 0.5) - reach), min(height, int(cy + 0.5) + reach + 1)
                left, right = max(0, int(cx + 0.5) - reach), min(width, int(cx + 0.5) + reach + 1)
                count = np.float32(0)
                sum_l = sum_u = sum_v = sum_y = sum_x = np.float32(0)
                for wy in range(top, bottom):
                    row_l, row_u, row_v = planes[0, wy], planes[1, wy], planes[2, wy]
                    in_row = np.float32(0)
                    for wx in range(left, right):
                        dl, du, dv = row_l[wx] - light, row_u[wx] - u, row_v[wx] - v
                        inside = (
                            np.float32(1) if dl * dl + du * du + dv * dv <= limit else np.float32(0)
                        )
                        in_row += inside
                        sum_l += inside * row_l[wx]
                        sum_u += inside * row_u[wx]
                        sum_v += inside * row_v[wx]
                        sum_x += inside * np.float32(wx)
                    count += in_row
                    sum_y += in_row * np.float32(wy)
                if count == 0:
                    break
                ny, nx = sum_y / count, sum_x / count
                nl, nu, nv = sum_l / count, sum_u / count, sum_v / count
                moved = (
                    abs(ny - cy) + abs(nx - cx) + (nl - light) ** 2 + (nu - u) ** 2 + (nv - v) ** 2
                )
                cy, cx, light, u, v = ny, nx, nl, nu, nv
                if moved < np.float32(1):
                    break
            modes[y, x, 0], modes[y, x, 1], modes[y, x, 2] = light, u, v
            modes[y, x, 3], modes[y, x, 4] = cy, cx


@njit("void(float32[:, :, ::1], float32, int32[:, ::1])")
def merge(modes, distance, labels):
    """Give neighbours whose windows ended within `distance` of one another, in colour, one label."""
    height, width, _ = modes.shape
    queue = np.empty(height * width, np.int64)
    limit = distance * distance
    labels[:] = -1
    count = 0
    for start in range(height * width):
        if labels[start // width, start % width] >= 0:
            continue
        labels[start // width, start % width] = count
        queue[0] = start
        first, last = 0, 1
        while first < last:
            y, x = queue[first] // width, queue[first] % width
            first += 1
            for d in range(4):
                ny, nx = y + (d == 0) - (d == 1), x + (d == 2) - (d == 3)
                if ny < 0 or ny >= height or nx < 0 or nx >= width or labels[ny, nx] >= 0:
                    continue
                total = np.float32(0)
                for c in range(3):
                    difference = modes[y, x, c] - modes[ny, nx, c]
                    total += difference * difference
                if total <= limit:
                    labels[ny, nx] = count
                    queue[last] = ny * width + nx
                    last += 1
        count += 1
