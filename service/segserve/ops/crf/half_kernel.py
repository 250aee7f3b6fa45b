"""Compiled return from every second pixel to all of them; arguments are trusted (`half.py`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import LANES, fma, load, spread, store
from segserve.ops.crf.pass_kernel import GROUPS, normalise
from segserve.ops.crf.places_kernel import find, place_eight, vertex_key
from segserve.ops.kernel_cache import njit

_FLAT = types.float32[::1]
_INTS = types.int32[::1]
_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_TAPS = types.float32[:, ::1]
_GROUPS = (GROUPS[0], GROUPS[-1])
_UNLIKELY = np.float32(3.0)  # about the logarithm of 1 / 5 %
_SURE = np.float32(0.97)


@njit([types.int64(_FLAT, group, types.float32) for group in _GROUPS])
def unsure(logits, groups, sure):
    """Count the rows of logits whose best label's probability is below `sure`."""
    width, count = len(groups) * LANES, 0
    row = np.empty(width, np.float32)
    for at in range(0, logits.shape[0], width):
        for lane in range(0, width, LANES):
            store(row, lane, load(logits, at + lane))
        if normalise(row, 0, groups) < sure:
            count += 1
    return count


@njit(types.void(_FLAT, types.int64, _INTS, _FLAT))
def choose(beliefs, width, labels, tops):
    """Fill the best label of each pixel and its belief."""
    for n in range(labels.shape[0]):
        best = 0
        for lane in range(1, width):
            if beliefs[n * width + lane] > beliefs[n * width + best]:
                best = lane
        labels[n] = best
        tops[n] = beliefs[n * width + best]


@njit(
    types.int64(
        _FLAT, _INTS, _FLAT, types.int64, _FLAT, types.int64, types.int64, _FLAT, _INTS
    )
)  # fmt: skip
def enlarge(beliefs, labels, tops, width, logits, height, columns, rows, doubtful):
    """Copy each pixel's beliefs from the half-size pixel up left of it, unless they are in doubt.

    In doubt: the half-size pixels around it differ in their label, theirs is below 97 %, or the
    pixel's own unary term speaks against it.

    Parameters
    ----------
    beliefs, labels, tops : of the half-size pixels
    logits : float32 [height * columns * width]
        Minus the unary terms of all pixels.
    rows : float32 [height * columns * width]
        Filled, but for the doubtful pixels.
    doubtful : int32 [height * columns]
        The first so many are filled.

    Returns
    -------
    count : int
    """
    half_height, half_columns = (height + 1) // 2, (columns + 1) // 2
    count, n = 0, 0
    for y in range(height):
        top = (y // 2) * half_columns
        bottom = min(y // 2 + y % 2, half_height - 1) * half_columns
        for x in range(columns):
            left = x // 2
            right = min(left + x % 2, half_columns - 1)
            at = top + left
            label = labels[at]
            same = (
                labels[top + right] == label
                and labels[bottom + left] == label
                and labels[bottom + right] == label
            )
            lowest = min(tops[at], tops[top + right], tops[bottom + left], tops[bottom + right])
            own = logits[n * width + label] + _UNLIKELY
            against = False
            for lane in range(width):
                against |= logits[n * width + lane] > own
            if same and lowest >= _SURE and not against:
                for lane in range(0, width, LANES):
                    store(rows, n * width + lane, load(beliefs, at * width + lane))
            else:
                doubtful[count] = n
                count += 1
            n += 1
    return count


@njit()
def _slice(lane, strides, origins, ranks, shares, found, rank, share, weights, width, row):
    """Add what a lattice holds at a point that may lie beside all of its simplices."""
    keys, table, numbers, ones, values, bits, gain = found
    d = len(strides)
    base = np.int64(0)
    for i in range(d + 1):
        rank[i] = np.int64(ranks[i * LANES + lane])
        share[rank[i]] = shares[i * LANES + lane]
    for i in range(d):
        base += np.int64(origins[i * LANES + lane]) * strides[i]
    whole = np.float32(0)
    for k in range(d + 1):
        weight = share[d - k] - share[d - k + 1] if k else share[d] + (np.float32(1) - share[0])
        vertex = find(keys, table, bits, vertex_key(base, rank, strides, k))
        place = numbers[vertex] if vertex >= 0 else 0
        weights[k] = weight
        rank[d + 1 + k] = place
        whole += weight * ones[place]
    norm = np.float32(1 / np.sqrt(max(gain * whole, np.float32(0)) + np.float32(1e-20)))
    for k in range(d + 1):
        weight = spread(weights[k] * norm)
        at = rank[d + 1 + k] * width
        for first in range(0, width, LANES):
            store(row, first, fma(weight, load(values, at + first), load(row, first)))


def _floats(d):
    return types.UniTuple(types.float32, d)


def _ints(d):
    return types.UniTuple(types.int64, d)


_FOUND = types.Tuple((types.int64[::1], _INTS, _INTS, _FLAT, _FLAT, types.int64, types.float32))


def _points(d):
    return types.Tuple((_floats(d), _floats(d), _ints(d)))


@njit(
    [
        types.void(
            _IMAGE, _INTS, _FLAT, group, _points(5), _FOUND, _points(2), _FOUND, _FLAT, _FLAT
        )
        for group in _GROUPS
    ]
)
def resolve(image, doubtful, logits, groups, near, near_found, close, close_found, bases, rows):
    """Slice both lattices at doubtful pixels and fill their beliefs.

    Parameters
    ----------
    doubtful : int32 [n]
    near, close : tuples
        Sigmas, factors and strides of the bilateral and the Gaussian lattice.
    near_found, close_found : tuples
        Their keys, table, numbers, blurred ones, values, bits of the table, gain.
    bases : float32 [n * width] or [0]
        Filled, where there is room, with the logits and what the first lattice adds to them.
    rows : float32 [N * width]
    """
    width = len(groups) * LANES
    features = np.zeros(5 * LANES, np.float32)
    origins, ranks = np.empty(6 * LANES, np.float32), np.empty(6 * LANES, np.float32)
    shares, row = np.empty(6 * LANES, np.float32), np.empty(width, np.float32)
    far_origins, far_ranks = np.empty(3 * LANES, np.float32), np.empty(3 * LANES, np.float32)
    far_shares = np.empty(3 * LANES, np.float32)
    rank, share, weights = np.empty(12, np.int64), np.empty(7, np.float32), np.empty(6, np.float32)
    columns, count = image.shape[1], doubtful.shape[0]
    for first in range(0, count, LANES):
        here = min(LANES, count - first)
        for lane in range(here):
            y, x = doubtful[first + lane] // columns, doubtful[first + lane] % columns
            features[lane] = np.float32(x)
            features[LANES + lane] = np.float32(y)
            for i in range(3):
                features[(2 + i) * LANES + lane] = np.float32(image[y, x, i])
        place_eight(features, near[0], near[1], origins, ranks, shares)
        place_eight(features, close[0], close[1], far_origins, far_ranks, far_shares)
        for lane in range(here):
            at = np.int64(doubtful[first + lane]) * width
            for group in range(len(groups)):
                store(row, group * LANES, load(logits, at + group * LANES))
            _slice(
                lane, near[2], origins, ranks, shares, near_found, rank, share, weights, width, row
            )
            if len(bases):
                for group in range(len(groups)):
                    base = (first + lane) * width + group * LANES
                    store(bases, base, load(row, group * LANES))
            _slice(
                lane, close[2], far_origins, far_ranks, far_shares, close_found, rank, share,
                weights, width, row,
            )  # fmt: skip
            normalise(row, 0, groups)
            for group in range(len(groups)):
                store(rows, at + group * LANES, load(row, group * LANES))


@njit([types.void(_INTS, _FLAT, _FLAT, _TAPS, _TAPS, group, _FLAT) for group in _GROUPS])
def smooth(doubtful, bases, weights, down, across, groups, rows):
    """Compute doubtful pixels anew, one after the other, with the smoothness of all around them.

    Parameters
    ----------
    doubtful : int32 [n]
    bases : float32 [n * width]
        Logits and all messages but smoothness.
    weights : float32 [width]
        What agreement earns.
    down, across : float32 [H, taps], [W, taps]
        The normalised Gaussian of each row and each column; 0 outside.
    rows : float32 [H * W * width]
        All beliefs; those of doubtful pixels are replaced.
    """
    width, reach = len(groups) * LANES, down.shape[1] // 2
    height, columns = down.shape[0], across.shape[0]
    row = np.empty(width, np.float32)
    for n in range(len(doubtful)):
        y, x = np.int64(doubtful[n]) // columns, np.int64(doubtful[n]) % columns
        top, bottom = max(0, y - reach), min(height, y + reach + 1)
        left, right = max(0, x - reach), min(columns, x + reach + 1)
        for lane in range(0, width, LANES):
            agreed = spread(np.float32(0))
            for v in range(top, bottom):
                share = down[y, v - y + reach]
                at = (v * columns + left) * width + lane
                for tap in range(left - x + reach, right - x + reach):
                    agreed = fma(spread(share * across[x, tap]), load(rows, at), agreed)
                    at += width
            base = load(bases, n * width + lane)
            store(row, lane, fma(load(weights, lane), agreed, base))
        normalise(row, 0, groups)
        for lane in range(0, width, LANES):
            store(rows, np.int64(doubtful[n]) * width + lane, load(row, lane))
