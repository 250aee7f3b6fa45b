"""Compiled loops of k-means; arguments are trusted (`segserve.ops.classical.kmeans`)."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit

BLOCK = 1024


@njit("float64(float32[:, ::1], float32[:, ::1], int32[::1], float64[:, ::1], int64[::1])")
def assign(features, centres, labels, sums, counts):
    """Give every point its nearest centre, the lower one of equals, and add up sums and counts.

    Returns the sum of squared distances.
    """
    dims, points = features.shape
    clusters = centres.shape[0]
    best = np.empty(BLOCK, np.float32)
    distance = np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.int32)
    sums[:] = 0
    counts[:] = 0
    inertia = 0.0
    for begin in range(0, points, BLOCK):
        size = min(BLOCK, points - begin)
        best[:] = np.inf
        winner[:] = 0
        for k in range(clusters):
            distance[:] = 0
            for d in range(dims):
                centre = centres[k, d]
                plane = features[d, begin : begin + size]
                for p in range(size):
                    difference = plane[p] - centre
                    distance[p] += difference * difference
            for p in range(size):
                nearer = distance[p] < best[p]
                best[p] = distance[p] if nearer else best[p]
                winner[p] = np.int32(k) if nearer else winner[p]
        for p in range(size):
            label = winner[p]
            labels[begin + p] = label
            inertia += best[p]
            counts[label] += 1
        for d in range(dims):
            plane = features[d, begin : begin + size]
            for p in range(size):
                sums[winner[p], d] += plane[p]
    return inertia
