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

from segserve.ops.crf.lanes_kernel import LANES, add, fma, load, pick, prefetch, spread, store, sub
from segserve.ops.crf.places_kernel import (
    EMPTY,
    falling,
    place_eight,
    slot_of,
    vertex_key,
)
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


@njit()
def _vertices_of(found, lane, base, ranks, rank, strides, keys, table, bits, counts, corners):
    """Fill the vertices of a new simplex; those that are new too get a number."""
    axes = len(strides) + 1
    last = (1 << bits) - 1
    for i in range(axes):
        rank[i] = np.int64(pick(ranks, i * LANES + lane))
    for k in range(axes):
        key = vertex_key(base, rank, strides, k)
        at = slot_of(key, 0, bits)
        vertex = pick(table, at)
        while vertex != EMPTY and pick(keys, np.int64(vertex)) != key:
            at = (at + 1) & last
            vertex = pick(table, at)
        if vertex == EMPTY:
            vertex = np.int32(counts[1])
            table[at] = vertex
            keys[vertex] = key
            counts[1] += 1
        corners[found, k] = vertex


_TABLE = types.Tuple((_KEYS, _INTS, types.int64))
_FILLED = types.Tuple((_INTS, types.float32[::1], _INT_ROWS))
_SCRATCH = types.Tuple((*(types.float32[::1] for _ in range(6)), *(_KEYS for _ in range(3))))


@njit(
    [
        types.int64(
            types.int64, _IMAGE, types.int64, types.Tuple((_floats(d), _floats(d), _ints(d))),
            _KEYS, _SCRATCH, _TABLE, _TABLE, _KEYS, _FILLED,
        )
        for d in (2, 5)
    ]
)  # fmt: skip
def embed(start, image, step, embedding, room, scratch, simplices, vertices, counts, places):
    """Place every `step`-th pixel of both axes, from pixel `start` of these on.

    No array is made or assigned anew here: numba would count references in every round.

    Parameters
    ----------
    start : int
    image : uint8 [H, W, 3]
    step : int
        1 or more.
    embedding : tuple
        Sigmas of the d features, factors of the plane, strides of the keys.
    room : int64 [2]
        How many simplices and vertices the tables take.
    scratch : tuple
        Float32 [(d+1) * 8] for features, origins, ranks, shares, weights; float32 [8]; int64 [8]
        twice; int64 [d+1].
    simplices, vertices : tuple
        Keys of what is known (of a simplex: base and order), the table that finds them, its bits.
    counts : int64 [2]
        Simplices and vertices that are known.
    places : tuple
        int32 [N], each pixel's simplex; float32 [N * (d+1)], the weights of its vertices; int32
        [N, d+1], whose first rows are the vertices of the simplices. All are filled.

    Returns
    -------
    reached : int
        The first pixel that there was no room for; N at the end.
    """
    sigmas, factors, strides = embedding
    known, seen, bits = simplices
    keys, table, vertex_bits = vertices
    simplex, flat, corners = places
    features, origins, ranks, shares, parts, codes, bases, orders, rank = scratch
    d = len(sigmas)
    axes = d + 1
    last = (1 << bits) - 1
    count = simplex.shape[0]
    across = (image.shape[1] + step - 1) // step
    y, x = start // across * step, start % across * step
    base_before, order_before, before = np.int64(0), np.int64(-1), np.int64(0)
    one, most = spread(np.float32(1)), spread(np.float32(axes))
    for first in range(start, count, LANES):
        if counts[0] + LANES > room[0] or counts[1] + LANES * axes > room[1]:
            return first
        here = min(LANES, count - first)
        for lane in range(here):
            features[lane] = np.float32(x)
            features[LANES + lane] = np.float32(y)
            for i in range(2, d):
                features[i * LANES + lane] = np.float32(image[y, x, i - 2])
            x += step
            if x >= image.shape[1]:
                y, x = y + step, 0
        place_eight(features, sigmas, factors, origins, ranks, shares)
        falling(shares, axes)
        store(parts, 0, add(load(shares, d * LANES), sub(one, load(shares, 0))))
        code = load(ranks, 0)
        for k in range(1, axes):
            part = sub(load(shares, (d - k) * LANES), load(shares, (axes - k) * LANES))
            store(parts, k * LANES, part)
            code = fma(code, most, load(ranks, k * LANES))
        store(codes, 0, code)
        for lane in range(here):
            base = np.int64(0)
            for i in range(d):
                base += np.int64(pick(origins, i * LANES + lane)) * strides[i]
            order = np.int64(pick(codes, lane))
            bases[lane], orders[lane] = base, order
            prefetch(seen, slot_of(base, order, bits))
            for k in range(axes):
                flat[(first + lane) * axes + k] = pick(parts, k * LANES + lane)
        for lane in range(here):
            base, order = pick(bases, lane), pick(orders, lane)
            if base != base_before or order != order_before:
                base_before, order_before = base, order
                place = slot_of(base, order, bits)
                before = np.int64(pick(seen, place))
                while before != EMPTY and (
                    pick(known, 2 * before) != base or pick(known, 2 * before + 1) != order
                ):
                    place = (place + 1) & last
                    before = np.int64(pick(seen, place))
                if before == EMPTY:
                    before = counts[0]
                    counts[0] += 1
                    seen[place] = before
                    known[2 * before], known[2 * before + 1] = base, order
                    _vertices_of(
                        before, lane, base, ranks, rank, strides, keys, table, vertex_bits, counts,
                        corners,
                    )  # fmt: skip
            simplex[first + lane] = before
    return count


@njit(types.void(_KEYS, _INTS, _KEYS, types.int32[:, :, ::1], _KEYS))
def neighbour(keys, number, deltas, pairs, reach):
    """Fill the neighbours of each vertex along each axis.

    Parameters
    ----------
    keys : int64 [M]
        Rising.
    number : int32 [M]
        Rows of the vertices in the order of the keys.
    deltas : int64 [d+1]
        From a vertex's key to that of its first neighbour.
    pairs : int32 [d+1, rows, 2]
        Zeros; 0 stays for 'none'.
    reach : int64 [d+1]
        Filled with how many rows lie between neighbours at most.
    """
    count = keys.shape[0]
    for axis in range(deltas.shape[0]):
        ahead, farthest = 0, 0
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
                farthest = max(farthest, abs(np.int64(number[ahead]) - np.int64(number[i])))
        reach[axis] = farthest


@njit(types.void(_INT_ROWS, _INTS))
def renumber(corners, number):
    """Replace vertices by their new numbers, in place."""
    for i in range(corners.shape[0]):
        for k in range(corners.shape[1]):
            corners[i, k] = number[corners[i, k]]


@njit()
def _value_at(corners, at, values):
    return pick(values, np.int64(pick(corners, at)))


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
    flat_corners, flat = corners.reshape(-1), weights.reshape(-1)
    for n in range(simplex.shape[0]):
        at, own = np.int64(pick(simplex, n)) * axes, n * axes
        for k in range(0, axes, 3):  # three or six
            values[np.uint64(pick(flat_corners, at + k))] += pick(flat, own + k)
            values[np.uint64(pick(flat_corners, at + k + 1))] += pick(flat, own + k + 1)
            values[np.uint64(pick(flat_corners, at + k + 2))] += pick(flat, own + k + 2)
    for axis in range(axes):
        for i in range(1, rows):
            beside = values[pairs[axis, i, 0]] + values[pairs[axis, i, 1]]
            other[i] = values[i] + np.float32(0.5) * beside
        values, other = other, values
    for n in range(simplex.shape[0]):
        at, own = np.int64(pick(simplex, n)) * axes, n * axes
        filtered = np.float32(0)
        for k in range(0, axes, 3):
            filtered += pick(flat, own + k) * _value_at(flat_corners, at + k, values)
            filtered += pick(flat, own + k + 1) * _value_at(flat_corners, at + k + 1, values)
            filtered += pick(flat, own + k + 2) * _value_at(flat_corners, at + k + 2, values)
        norm = np.float32(1) / np.sqrt(gain * filtered + np.float32(1e-20))
        for k in range(np.uint64(own), np.uint64(own + axes)):
            flat[k] *= norm
        norms[n] = norm
    return values
