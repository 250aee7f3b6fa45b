"""Compiled loops of SLIC; arguments are trusted (`segserve.ops.classical.slic`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit(
    "void(float32[:, :, ::1], float32[:, ::1], int64, int64, float32, int32[:, ::1], float32[:, ::1])"
)
def assign(lab, centres, reach_y, reach_x, place_weight, labels, distances):
    """Give every pixel the nearest centre whose window it lies in; centres are l, a, b, y, x."""
    _, height, width = lab.shape
    distances[:] = np.inf
    for k in range(centres.shape[0]):
        light, a, b, cy, cx = centres[k]
        top, bottom = max(0, int(cy) - reach_y), min(height, int(cy) + reach_y + 1)
        left, right = max(0, int(cx) - reach_x), min(width, int(cx) + reach_x + 1)
        for y in range(top, bottom):
            dy = np.float32(y) - cy
            row = place_weight * dy * dy
            for x in range(left, right):
                dx = np.float32(x) - cx
                dl, da, db = lab[0, y, x] - light, lab[1, y, x] - a, lab[2, y, x] - b
                distance = dl * dl + da * da + db * db + row + place_weight * dx * dx
                nearer = distance < distances[y, x]
                distances[y, x] = distance if nearer else distances[y, x]
                labels[y, x] = np.int32(k) if nearer else labels[y, x]


@njit("void(float32[:, :, ::1], int32[:, ::1], float32[:, ::1])")
def average(lab, labels, centres):
    """Move centres to the means of their pixels; an empty one stays."""
    _, height, width = lab.shape
    sums = np.zeros((centres.shape[0], 6))
    for y in range(height):
        for x in range(width):
            row = sums[labels[y, x]]
            row[0] += lab[0, y, x]
            row[1] += lab[1, y, x]
            row[2] += lab[2, y, x]
            row[3] += y
            row[4] += x
            row[5] += 1
    for k in range(centres.shape[0]):
        if sums[k, 5] > 0:
            for i in range(5):
                centres[k, i] = sums[k, i] / sums[k, 5]
