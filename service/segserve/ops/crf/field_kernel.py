"""Compiled steps of mean-field inference beside the pass over pixels; arguments are trusted (`segserve.ops.crf.field`).

Labels stand in groups of eight lanes; rows of lattice values and of pixels are flat, `width` floats
each, a multiple of eight.
"""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import (
    LANES,
    add,
    fma,
    larger,
    largest,
    load,
    mul,
    pick,
    size,
    spread,
    store,
)
from segserve.ops.kernel_cache import njit

_FLAT = types.float32[::1]
_INT_ROWS = types.int32[:, ::1]
_WEIGHTS = types.float32[:, ::1]
_PLANES = types.Array(types.float32, 2, "C", readonly=True)
_FLAGS = types.boolean[::1]
_NOWHERE = np.float32(-1e30)
_BLOCK = 64


@njit()
def _likely(unary, label, begin, filled, lowest, threshold):
    """Tell if the label reaches the probability at a pixel of the block."""
    for i in range(filled):
        own = np.exp(lowest[i] - unary[label, begin + i])
        if own < threshold:
            continue
        whole = np.float32(0)
        for other in range(unary.shape[0]):
            whole += np.exp(lowest[i] - unary[other, begin + i])
        if own >= threshold * whole:
            return True
    return False


@njit(types.boolean(_PLANES, types.float32, _FLAGS))
def scan(unary, threshold, kept):
    """Find the labels that are at least `threshold` likely somewhere; tells if all is finite.

    Parameters
    ----------
    unary : float32 [C, N]
    threshold : float
        A probability.
    kept : bool [C]
        Filled.
    """
    labels, count = unary.shape
    floor = np.float32(np.log(threshold))
    lowest = np.empty(_BLOCK, np.float32)
    odd = np.zeros(_BLOCK, np.float32)
    for begin in range(0, count, _BLOCK):
        filled = min(_BLOCK, count - begin)
        row = unary[0, begin : begin + filled]
        for i in range(filled):
            lowest[i] = row[i]
        for label in range(labels):
            row = unary[label, begin : begin + filled]
            for i in range(filled):
                lowest[i] = min(row[i], lowest[i])
                odd[i] += row[i] * np.float32(0)
        for label in range(labels):
            if kept[label]:
                continue
            row = unary[label, begin : begin + filled]
            highest = floor
            for i in range(filled):
                highest = max(highest, lowest[i] - row[i])
            if highest > floor:
                kept[label] = _likely(unary, label, begin, filled, lowest, threshold)
    return odd.sum() == 0


@njit(types.void(_PLANES, types.int64[::1], types.int64, _FLAT))
def gather(unary, labels, width, rows):
    """Write minus the unary term of the kept labels, pixel by pixel; unused lanes never win."""
    for begin in range(0, unary.shape[1], _BLOCK):
        end = min(begin + _BLOCK, unary.shape[1])
        for lane in range(width):
            if lane < labels.shape[0]:
                label = labels[lane]
                for n in range(begin, end):
                    rows[n * width + lane] = -unary[label, n]
            else:
                for n in range(begin, end):
                    rows[n * width + lane] = _NOWHERE


@njit(types.void(_FLAT, types.int64[::1], types.int64, _WEIGHTS))
def scatter(rows, labels, width, planes):
    """Write rows of pixels back as planes of labels; other planes stay."""
    for begin in range(0, planes.shape[1], _BLOCK):
        end = min(begin + _BLOCK, planes.shape[1])
        for lane in range(labels.shape[0]):
            label = labels[lane]
            for n in range(begin, end):
                planes[label, n] = rows[n * width + lane]


@njit(types.void(_FLAT, types.int64, types.int32[:, :, ::1], _FLAT))
def blur(values, width, pairs, other):
    """Blur along all axes; the result is in `values` for an even number of axes, else in `other`.

    Row 0 of both is zero and stays so.
    """
    half = spread(np.float32(0.5))
    for axis in range(pairs.shape[0]):
        for i in range(1, pairs.shape[1]):
            first = np.int64(pairs[axis, i, 0]) * width
            second = np.int64(pairs[axis, i, 1]) * width
            at = i * width
            for lane in range(0, width, LANES):
                beside = add(load(values, first + lane), load(values, second + lane))
                store(other, at + lane, fma(half, beside, load(values, at + lane)))
        values, other = other, values


@njit(types.void(_FLAT, types.int64, _FLAT, _FLAT, _FLAT, types.boolean))
def accumulate(blurred, width, scale, values, change, add_up):
    """Move what was blurred, times a factor for each label, to the values of the vertices.

    Parameters
    ----------
    blurred : float32 [(M+1) * width]
        Zeros afterwards.
    change : float32 [M+1]
        Filled with the largest change of each vertex if `add_up`.
    add_up : bool
        To what is there; else in place of it.
    """
    nothing = spread(np.float32(0))
    for i in range(change.shape[0]):
        most = nothing
        for at in range(i * width, i * width + width, LANES):
            step = mul(load(scale, at - i * width), load(blurred, at))
            store(blurred, at, nothing)
            if add_up:
                most = larger(most, size(step))
                step = add(load(values, at), step)
            store(values, at, step)
        if add_up:
            change[i] = largest(most)


@njit(types.void(_FLAT, types.int64, _FLAT))
def mix(values, width, matrix):
    """Multiply each row with a matrix of `width` x `width`, in place (column by column, flat)."""
    row = np.empty(width, np.float32)
    for at in range(0, values.shape[0], width):
        for lane in range(0, width, LANES):
            store(row, lane, spread(np.float32(0)))
        for label in range(width):
            value = spread(values[at + label])
            for lane in range(0, width, LANES):
                column = load(matrix, label * width + lane)
                store(row, lane, fma(value, column, load(row, lane)))
        for lane in range(0, width, LANES):
            store(values, at + lane, load(row, lane))


@njit(types.void(_INT_ROWS, _FLAT, _FLAT))
def bound(corners, change, moved):
    """Add to each simplex the largest change of its vertices."""
    flat, axes = corners.reshape(-1), corners.shape[1]
    for s in range(corners.shape[0]):
        most = np.float32(0)
        for k in range(axes):
            most = max(most, pick(change, np.int64(pick(flat, s * axes + k))))
        moved[s] += most
