"""Compiled loops of k-means; arguments are trusted (`segserve.ops.classical.kmeans`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.classical.points_kernel import (
    POINTS,
    add,
    differs,
    fma,
    if_less,
    load,
    shared,
    smaller,
    spread,
    store,
    sub,
    total,
)
from segserve.ops.kernel_cache import njit

BLOCK = 8 * POINTS


@njit("void(float32[::1], int64, int64, float32[::1], int64, int64, float32[::1], float32[::1])")
def _nearest(planes, stride, begin, centres, clusters, dims, winner, best):
    """Give the nearest centre of a block of points, the lower one of equals, and its distance."""
    for offset in range(0, BLOCK, POINTS):
        least = spread(np.float32(np.inf))
        label = spread(np.float32(0))
        for k in range(clusters):
            distance = spread(np.float32(0))
            for d in range(dims):
                place = load(planes, d * stride + begin + offset)
                difference = sub(place, shared(centres, k * dims + d))
                distance = fma(difference, difference, distance)
            label = if_less(distance, least, spread(np.float32(k)), label)
            least = smaller(distance, least)
        store(winner, offset, label)
        store(best, offset, least)


@njit(
    "void(float32[::1], float32[::1], int64, int64, int64, int32[::1], float64[:, ::1], int64[::1])"
)
def _move(planes, winner, block, begin, end, labels, sums, counts):
    """Take points whose label has changed from one cluster's sums to another's."""
    stride = labels.shape[0]
    for p in range(begin, end):
        before, after = labels[p], np.int32(winner[p - block])
        if before == after:
            continue
        labels[p] = after
        counts[after] += 1
        for d in range(sums.shape[1]):
            sums[after, d] += planes[d * stride + p]
        if before >= 0:
            counts[before] -= 1
            for d in range(sums.shape[1]):
                sums[before, d] -= planes[d * stride + p]


@njit("float64(float32[::1], float32[::1], int32[::1], float64[:, ::1], int64[::1])")
def assign(planes, centres, labels, sums, counts):
    """Give every point its nearest centre, the lower one of equals; keep up sums and counts.

    `planes` are the points, one plane for each dimension, and `centres` the centres one after the
    other. `labels` are those of the round before, -1 in the first; `sums` and `counts` belong to
    them. Returns the sum of squared distances.
    """
    clusters, dims = sums.shape
    count = labels.shape[0]
    winner = np.empty(BLOCK, np.float32)
    best = np.empty(BLOCK, np.float32)
    last = np.empty(dims * BLOCK, np.float32)
    inertia = 0.0
    for begin in range(0, count, BLOCK):
        end = min(count, begin + BLOCK)
        if end - begin == BLOCK:
            _nearest(planes, count, begin, centres, clusters, dims, winner, best)
        else:
            for d in range(dims):
                for p in range(begin, end):
                    last[d * BLOCK + p - begin] = planes[d * count + p]
            _nearest(last, BLOCK, 0, centres, clusters, dims, winner, best)
            for p in range(end - begin, BLOCK):
                best[p] = 0
        part = spread(np.float32(0))
        for p in range(begin, end, POINTS):
            part = add(part, load(best, p - begin))
            if p + POINTS > end or differs(labels, p, load(winner, p - begin)):
                _move(
                    planes,
                    winner,
                    begin,
                    p,
                    min(end, p + POINTS),
                    labels,
                    sums,
                    counts,
                )
        inertia += total(part)
    return inertia
