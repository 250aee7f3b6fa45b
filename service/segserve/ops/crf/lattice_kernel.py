"""Compiled building of a permutohedral lattice; arguments are trusted (`segserve.ops.crf.lattice`).

Facts from Adams, Baek and Davis 2010 ("Fast High-Dimensional Filtering Using the Permutohedral
Lattice", section 3) and from Kraehenbuehl's ``permutohedral.cpp``, whose rounding, ranks, axis order
of the blur and treatment of missing neighbours are kept so that the filter is the same one.

What differs is the book-keeping: a simplex is looked up once and not once for each of its vertices;
a vertex's key is one integer that is linear in its coordinates, so a neighbour's key lies at a fixed
distance and all neighbours are found by merging the sorted keys with themselves.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import LANES
from segserve.ops.crf.places_kernel import EMPTY, grown, place_eight, slot_of, vertex_key
from segserve.ops.kernel_cache import njit

_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_WEIGHTS = types.float32[:, ::1]
_INTS = types.int32[::1]
_INT_ROWS = types.int32[:, ::1]
_KEYS = types.int64[::1]


def _floats(d):
    return types.UniTuple(types.float32, d)


def _ints(d):
    return types.UniTuple(types.int64, d)


@njit(
    [
        (_IMAGE, types.int64, _floats(d), _floats(d), _ints(d), _INTS, _WEIGHTS, _INT_ROWS)
        for d in (2, 5)
    ]
)
def embed(image, step, sigmas, factors, strides, simplex, weights, corners):
    """Place every `step`-th pixel of both axes.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    step : int
        1 or more.
    sigmas, factors, strides : tuples of d values
        Of the features, of the plane, of the keys.
    simplex : int32 [N]
        Filled with each pixel's simplex.
    weights : float32 [N, d+1]
        Filled with the weights of its vertices.
    corners : int32 [N, d+1]
        First rows are filled with the vertices of the simplices, in order of first touch.

    Returns
    -------
    simplices, keys, table, bits
        Their count; the vertices' keys; the table that finds a vertex and its size.
    """
    d = len(sigmas)
    features = np.zeros(d * LANES, np.float32)
    origins = np.empty((d + 1) * LANES, np.float32)
    ranks, shares = np.empty_like(origins), np.empty_like(origins)
    rank, share = np.empty(d + 1, np.int64), np.empty(d + 1, np.float32)
    count = simplex.shape[0]
    bits = 12
    while (1 << bits) < 2 * count:
        bits += 1
    seen = np.full(1 << bits, EMPTY, np.int32)
    last = (1 << bits) - 1
    bases, orders = np.empty(count, np.int64), np.empty(count, np.int32)
    vertex_bits = 14
    keys = np.empty(1 << (vertex_bits - 1), np.int64)
    table = grown(keys, 0, vertex_bits)
    simplices, vertices, n = 0, 0, 0
    base_before, order_before = np.int64(0), np.int32(-1)
    y, x = 0, 0
    for first in range(0, count, LANES):
        for lane in range(min(LANES, count - first)):
            features[lane] = np.float32(x)
            features[LANES + lane] = np.float32(y)
            for i in range(2, d):
                features[i * LANES + lane] = np.float32(image[y, x, i - 2])
            x += step
            if x >= image.shape[1]:
                y, x = y + step, 0
        place_eight(features, sigmas, factors, origins, ranks, shares)
        for lane in range(min(LANES, count - first)):
            base, order = np.int64(0), np.int32(0)
            for i in range(d + 1):
                rank[i] = np.int64(ranks[i * LANES + lane])
                share[rank[i]] = shares[i * LANES + lane]
                order = np.int32(order * (d + 1) + rank[i])
            for i in range(d):
                base += np.int64(origins[i * LANES + lane]) * strides[i]
            weights[n, 0] = share[d] + (np.float32(1) - share[0])
            for k in range(1, d + 1):
                weights[n, k] = share[d - k] - share[d - k + 1]
            if n and base == base_before and order == order_before:
                simplex[n] = simplex[n - 1]
                n += 1
                continue
            base_before, order_before = base, order
            place = slot_of(base, order, bits)
            found = seen[place]
            while found != EMPTY and (bases[found] != base or orders[found] != order):
                place = (place + 1) & last
                found = seen[place]
            if found == EMPTY:
                found = np.int32(simplices)
                seen[place] = found
                bases[found], orders[found] = base, order
                simplices += 1
                if vertices + d + 1 > keys.shape[0]:
                    vertex_bits += 1
                    longer = np.empty(1 << (vertex_bits - 1), np.int64)
                    longer[:vertices] = keys[:vertices]
                    keys = longer
                    table = grown(keys, vertices, vertex_bits)
                vertex_last = (1 << vertex_bits) - 1
                for k in range(d + 1):
                    key = vertex_key(base, rank, strides, k)
                    at = slot_of(key, 0, vertex_bits)
                    while table[at] != EMPTY and keys[table[at]] != key:
                        at = (at + 1) & vertex_last
                    if table[at] == EMPTY:
                        table[at] = vertices
                        keys[vertices] = key
                        vertices += 1
                    corners[found, k] = table[at]
            simplex[n] = found
            n += 1
    return simplices, keys[:vertices], table, vertex_bits


@njit(types.void(_KEYS, _INTS, _KEYS, types.int32[:, :, ::1]))
def neighbour(keys, number, deltas, pairs):
    """Fill the neighbours of each vertex along each axis.

    Parameters
    ----------
    keys : int64 [M]
        Rising.
    number : int32 [M]
        Of the vertices in the order of the keys, 1..M.
    deltas : int64 [d+1]
        From a vertex's key to that of its first neighbour.
    pairs : int32 [d+1, M+1, 2]
        Zeros; 0 stays for 'none'.
    """
    count = keys.shape[0]
    for axis in range(deltas.shape[0]):
        ahead = 0
        for i in range(count):
            wanted = keys[i] + deltas[axis]
            if deltas[axis] >= 0:
                while ahead < count and keys[ahead] < wanted:
                    ahead += 1
            else:
                while ahead < count - 1 and keys[ahead] < wanted:
                    ahead += 1
            if ahead < count and keys[ahead] == wanted:
                pairs[axis, number[i], 0] = number[ahead]
                pairs[axis, number[ahead], 1] = number[i]


@njit(types.void(_INT_ROWS, _INTS))
def renumber(corners, number):
    """Replace vertices by their new numbers, in place."""
    for i in range(corners.shape[0]):
        for k in range(corners.shape[1]):
            corners[i, k] = number[corners[i, k]]


@njit(
    types.float32[::1](
        _INTS, _INT_ROWS, _WEIGHTS, types.int32[:, :, ::1], types.float32, types.float32[::1]
    )
)
def normalise(simplex, corners, weights, pairs, gain, norms):
    """Fold 1 / sqrt(filtered ones) into the weights; gives the filtered ones at the vertices.

    Parameters
    ----------
    weights : float32 [N, d+1]
        Changed in place.
    gain : float
        1 / (1 + 2^-d).
    norms : float32 [N]
        Filled with the factors.
    """
    axes, rows = pairs.shape[0], pairs.shape[1]
    values, other = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
    for n in range(simplex.shape[0]):
        for k in range(axes):
            values[corners[simplex[n], k]] += weights[n, k]
    for axis in range(axes):
        for i in range(1, rows):
            beside = values[pairs[axis, i, 0]] + values[pairs[axis, i, 1]]
            other[i] = values[i] + np.float32(0.5) * beside
        values, other = other, values
    for n in range(simplex.shape[0]):
        filtered = np.float32(0)
        for k in range(axes):
            filtered += weights[n, k] * values[corners[simplex[n], k]]
        norm = np.float32(1 / np.sqrt(gain * filtered + np.float32(1e-20)))
        for k in range(axes):
            weights[n, k] *= norm
        norms[n] = norm
    return values
