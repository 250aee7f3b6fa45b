"""Compiled loops of graph-based merging; arguments are trusted (`segserve.ops.classical.felzenszwalb`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit("void(float32[:, :, ::1], int64, int64, uint16[:, ::1], float32)")
def weigh(planes, dy, dx, out, scale):
    """Write the colour distances between pixels and their neighbours (dy, dx), in steps of 1/scale.

    Where there is no neighbour the largest value stands.
    """
    _, height, width = planes.shape
    for y in range(height):
        for x in range(width):
            ny, nx = y + dy, x + dx
            if ny < 0 or ny >= height or nx < 0 or nx >= width:
                out[y, x] = 65535
                continue
            total = np.float32(0)
            for c in range(planes.shape[0]):
                difference = planes[c, y, x] - planes[c, ny, nx]
                total += difference * difference
            out[y, x] = np.uint16(min(np.sqrt(total) * scale, np.float32(65534)))


@njit("int64(int32[::1], int64)")
def _root(parents, node):
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit("void(int64[::1], uint16[::1], int64[::1], int64, float32, float32, int64, int32[::1])")
def merge(order, weights, offsets, pixels, scale, k, min_size, parents):
    """Merge along rising weights where the edge is no larger than what either piece holds inside.

    `order` are places in `weights`, which holds `pixels` edges for each of `offsets`.
    """
    sizes = np.ones(pixels, np.int32)
    limits = np.full(pixels, k, np.float32)
    for node in range(pixels):
        parents[node] = node
    for place in order:
        if weights[place] == 65535:
            break
        weight = np.float32(weights[place]) / scale
        node = place % pixels
        a = _root(parents, node)
        b = _root(parents, node + offsets[place // pixels])
        if a != b and weight <= limits[a] and weight <= limits[b]:
            if sizes[a] < sizes[b]:
                a, b = b, a
            parents[b] = a
            sizes[a] += sizes[b]
            limits[a] = weight + k / sizes[a]
    for place in order:
        if weights[place] == 65535:
            break
        node = place % pixels
        a = _root(parents, node)
        b = _root(parents, node + offsets[place // pixels])
        if a != b and (sizes[a] < min_size or sizes[b] < min_size):
            if sizes[a] < sizes[b]:
                a, b = b, a
            parents[b] = a
            sizes[a] += sizes[b]
    for node in range(pixels):
        parents[node] = _root(parents, node)
