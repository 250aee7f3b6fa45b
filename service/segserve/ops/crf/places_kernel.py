"""Compiled look-ups in a permutohedral lattice: simplices around points, vertices by key.

Shared by the building of a lattice and by slicing where no pixel was splatted; arguments are
trusted (`segserve.ops.crf.lattice`).
"""
# ruff: noqa: E501  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import (
    LANES,
    add,
    div,
    larger,
    less,
    load,
    mul,
    rounded,
    smaller,
    spread,
    store,
    sub,
)
from segserve.ops.kernel_cache import njit

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
EMPTY = np.int32(-1)


@njit()
def slot_of(key, salt, bits):
    """Give the first place of a key in a table of 2^bits places."""
    mixed = (np.uint64(key) ^ (np.uint64(salt) << np.uint64(40))) * _SPREAD
    return np.int64(mixed >> np.uint64(64 - bits))


@njit(types.int32[::1](types.int64[::1], types.int64, types.int64))
def vertex_table(keys, filled, bits):
    """Give a table of 2^bits places, filled with the first `filled` keys."""
    table = np.full(1 << bits, EMPTY, np.int32)
    last = (1 << bits) - 1
    for i in range(filled):
        place = slot_of(keys[i], 0, bits)
        while table[place] != EMPTY:
            place = (place + 1) & last
        table[place] = i
    return table


@njit()
def find(keys, table, bits, key):
    """Give the vertex with this key, -1 where there is none."""
    last = (1 << bits) - 1
    place = slot_of(key, 0, bits)
    while table[place] != EMPTY:
        if keys[table[place]] == key:
            return table[place]
        place = (place + 1) & last
    return EMPTY


@njit()
def place_eight(features, sigmas, factors, origins, ranks, shares):
    """Find the simplices around eight points.

    All arrays are flat, eight lanes for each feature or coordinate.

    Parameters
    ----------
    features : float32 [d * 8]
        Not yet over their sigmas.
    sigmas, factors : tuples of d float32
    origins : float32 [(d+1) * 8]
        Filled with the vertex of remainder 0.
    ranks : float32 [(d+1) * 8]
        Filled with the order of the coordinates within the simplex.
    shares : float32 [(d+1) * 8]
        Filled with how far the point lies from the origin along each coordinate.
    """
    d = len(sigmas)
    down, up, zero, one = (
        spread(np.float32(1) / np.float32(d + 1)),
        spread(np.float32(d + 1)),
        spread(np.float32(0)),
        spread(np.float32(1)),
    )
    rest = zero
    for j in range(d, 0, -1):
        position = div(load(features, (j - 1) * LANES), spread(sigmas[j - 1]))
        along = mul(position, spread(factors[j - 1]))
        store(shares, j * LANES, sub(rest, mul(spread(np.float32(j)), along)))
        rest = add(rest, along)
    store(shares, 0, rest)
    off_plane = zero
    for i in range(d + 1):
        step = rounded(mul(down, load(shares, i * LANES)))
        origin = mul(step, up)
        off_plane = add(off_plane, step)
        store(origins, i * LANES, origin)
        store(shares, i * LANES, sub(load(shares, i * LANES), origin))
    for i in range(d + 1):
        turned = off_plane
        for j in range(d + 1):
            if j < i:
                behind = less(load(shares, j * LANES), load(shares, i * LANES))
                turned = add(turned, sub(one, behind))
            elif j > i:
                turned = add(turned, less(load(shares, i * LANES), load(shares, j * LANES)))
        store(ranks, i * LANES, turned)
    for i in range(d + 1):
        turned = load(ranks, i * LANES)
        round_trip = mul(up, sub(less(turned, zero), sub(one, less(turned, up))))
        store(ranks, i * LANES, add(turned, round_trip))
        store(origins, i * LANES, add(load(origins, i * LANES), round_trip))
        store(shares, i * LANES, mul(sub(load(shares, i * LANES), round_trip), down))


@njit()
def vertex_key(base, rank, strides, remainder):
    """Give the key of the simplex's vertex of this remainder."""
    d = len(strides)
    key = base
    for i in range(d):
        step = remainder if rank[i] <= d - remainder else remainder - (d + 1)
        key += step * strides[i]
    return key


@njit()
def falling(shares, count):
    """Sort eight points' first `count` shares, in place: the largest first."""
    for end in range(count - 1, 0, -1):
        for i in range(end):
            one, next_one = load(shares, i * LANES), load(shares, (i + 1) * LANES)
            store(shares, i * LANES, larger(one, next_one))
            store(shares, (i + 1) * LANES, smaller(one, next_one))


@njit(types.int32[::1](types.int64[::1], types.int64, types.int64))
def simplex_table(known, simplices, bits):
    """Give a table of 2^bits places over the known simplices: base and order, one after another."""
    table = np.full(1 << bits, EMPTY, np.int32)
    last = (1 << bits) - 1
    for i in range(simplices):
        place = slot_of(known[2 * i], known[2 * i + 1], bits)
        while table[place] != EMPTY:
            place = (place + 1) & last
        table[place] = i
    return table
