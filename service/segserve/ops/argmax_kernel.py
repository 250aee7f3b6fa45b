"""Compiled loops of up-sampling and arg-max in one; arguments are trusted (`segserve.ops.argmax`).

Bilinear interpolation keeps order: when class k beats class j at the four corners of a cell of
logits, it does so at every point inside. So a cell whose corners agree is filled without looking
at its pixels, and in the others only classes that no corner's winner beats everywhere are
evaluated. Rounding could make a tie of a narrow win, and ties go to the lower class; wins
over lower classes therefore count only with a margin of several float32 roundings.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.bilinear_kernel import fma
from segserve.ops.kernel_cache import njit

_LOGITS = types.Array(types.float32, 3, "C", readonly=True)
_WEIGHTS = types.float32[::1]
_SPANS = types.int64[:, ::1]
_U8 = types.uint8[:, ::1]
_U16 = types.uint16[:, ::1]

MARGIN = np.float32(1e-6)
TINY = np.float32(1e-36)


@njit()
def _take_plane(plane, best, rival, odd, labels, label):
    """Let one class compete for every logit of a row: all arguments are rows of equal length.

    `rival` is the largest value of the classes below the winner; `odd` stays 0 while all is finite.
    """
    for x in range(plane.shape[0]):
        value = plane[x]
        odd[x] += value * np.float32(0)
        wins = value > best[x]
        rival[x] = best[x] if wins else rival[x]
        labels[x] = label if wins else labels[x]
        best[x] = value if wins else best[x]


@njit()
def _argmax_nan(logits, y, x):
    """Find the first largest class, NaN being larger than anything, as torch does."""
    label = 0
    best = logits[0, y, x]
    for c in range(1, logits.shape[0]):
        value = logits[c, y, x]
        if value > best or (np.isnan(value) and not np.isnan(best)):
            best = value
            label = c
    return label


@njit(
    [
        types.void(_LOGITS, types.intp, types.intp, _U8, _U8),
        types.void(_LOGITS, types.intp, types.intp, _U16, _U8),
    ],
)
def argmax(logits, height, width, labels, safe):
    """First largest class of ``logits[:, :height, :width]``.

    Parameters
    ----------
    logits : float32 [C, h, w]
    labels : uint8 or uint16 [height, width]
        Written.
    safe : uint8 [height, width]
        Written: 1 where the winner beats all lower classes by the margin and all is finite.
    """
    best = np.empty(width, dtype=np.float32)
    rival = np.empty(width, dtype=np.float32)
    odd = np.empty(width, dtype=np.float32)
    for y in range(height):
        row = labels[y]
        best[:] = -np.inf
        rival[:] = -np.inf
        odd[:] = 0
        row[:] = 0
        for c in range(logits.shape[0]):
            _take_plane(logits[c, y, :width], best, rival, odd, row, labels.dtype.type(c))
        for x in range(width):
            if odd[x] != 0:
                row[x] = _argmax_nan(logits, y, x)
                safe[y, x] = 0
            else:
                low = best[x] - abs(best[x]) * MARGIN
                high = rival[x] + abs(rival[x]) * MARGIN + TINY
                safe[y, x] = low > high or row[x] == 0


@njit()
def _beats(winner, loser):
    """Whether one value is larger than another by the margin; False for what is not finite."""
    gap = winner - loser
    return (gap > (abs(winner) + abs(loser)) * MARGIN + TINY) & (gap < np.float32(np.inf))


@njit()
def _candidates(values, labels, beaten, picked):
    """List the classes that may win somewhere in a cell, rising.

    Parameters
    ----------
    values : float32 [4, C]
        Corner values of every class.
    labels : int64 [4]
        The corners' winners.
    picked : int64 [C + 1]
        Written.

    Returns
    -------
    n : int
        How many were written.
    """
    classes = values.shape[1]
    for c in range(classes):
        beaten[c] = 0
    for i in range(4):
        k = labels[i]
        if (i > 0 and k == labels[0]) or (i > 1 and k == labels[1]) or (i > 2 and k == labels[2]):
            continue
        w0 = values[0, k]
        w1 = values[1, k]
        w2 = values[2, k]
        w3 = values[3, k]
        for c in range(classes):
            beaten[c] |= (
                _beats(w0, values[0, c])
                & _beats(w1, values[1, c])
                & _beats(w2, values[2, c])
                & _beats(w3, values[3, c])
            )
    n = 0
    for c in range(classes):
        picked[n] = c
        n += 1 - beaten[c]
    return n


@njit()
def _edges(values, picked, n, weights, begin, end, tops, bottoms):
    """Interpolate the candidates along a cell's upper and lower edge.

    Parameters
    ----------
    values : float32 [4, C]
        Upper left, upper right, lower left, lower right.
    weights : float32 [W]
        Share of the right corners; the cell is columns `begin` to `end`.
    tops, bottoms : float32 [C, at least end - begin]
        Written, a row for each candidate.

    Returns
    -------
    odd : float32
        0 when all values are finite.
    """
    odd = np.float32(0)
    for i in range(n):
        c = picked[i]
        v0 = values[0, c]
        v1 = values[1, c]
        v2 = values[2, c]
        v3 = values[3, c]
        odd += (v0 + v1 + v2 + v3) * np.float32(0)
        for x in range(end - begin):
            right = weights[begin + x]
            left = np.float32(1) - right
            tops[i, x] = fma(v0, left, v1 * right)
            bottoms[i, x] = fma(v2, left, v3 * right)
    return odd


@njit()
def _line(tops, bottoms, picked, n, down, best, winner, columns):
    """Find the first largest candidate along one line of a cell; all values are finite.

    Parameters
    ----------
    down : float32
        Share of the lower edge.
    winner : int32 [at least columns]
        Written.
    """
    up = np.float32(1) - down
    for x in range(columns):
        best[x] = fma(tops[0, x], up, bottoms[0, x] * down)
        winner[x] = picked[0]
    for i in range(1, n):
        candidate = np.int32(picked[i])
        for x in range(columns):
            value = fma(tops[i, x], up, bottoms[i, x] * down)
            wins = value > best[x]
            winner[x] = candidate if wins else winner[x]
            best[x] = value if wins else best[x]


@njit()
def _line_nan(tops, bottoms, picked, n, down, best, winner, columns):
    """Do as `_line` does, NaN being larger than anything."""
    up = np.float32(1) - down
    for x in range(columns):
        best[x] = fma(tops[0, x], up, bottoms[0, x] * down)
        winner[x] = picked[0]
        for i in range(1, n):
            value = fma(tops[i, x], up, bottoms[i, x] * down)
            if value > best[x] or (np.isnan(value) and not np.isnan(best[x])):
                winner[x] = picked[i]
                best[x] = value


@njit(
    [
        types.void(_LOGITS, _U8, _U8, _SPANS, _SPANS, _WEIGHTS, _WEIGHTS, _U8),
        types.void(_LOGITS, _U16, _U8, _SPANS, _SPANS, _WEIGHTS, _WEIGHTS, _U16),
    ],
)
def upsample_argmax(logits, first, safe, spans_y, spans_x, weights_y, weights_x, out):
    """Interpolate logits at every output pixel and write the first largest class.

    Parameters
    ----------
    logits : float32 [C, h, w]
    first, safe : [h', w']
        What `argmax` gave; all corners lie inside.
    spans_y, spans_x : int64 [cells, 4]
        Output range (begin, end) that lies between two neighbouring logits (low, high).
    weights_y, weights_x : float32 [H], [W]
        Share of the higher neighbour at each output pixel.
    out : uint8 or uint16 [H, W]
    """
    classes = logits.shape[0]
    picked = np.empty(classes + 1, dtype=np.int64)
    beaten = np.empty(classes, dtype=np.uint8)
    values = np.empty((4, classes), dtype=np.float32)
    labels = np.empty(4, dtype=np.int64)
    widest = 1
    for i in range(spans_x.shape[0]):
        widest = max(widest, spans_x[i, 1] - spans_x[i, 0])
    tops = np.empty((classes, widest), dtype=np.float32)
    bottoms = np.empty((classes, widest), dtype=np.float32)
    best = np.empty(widest, dtype=np.float32)
    winner = np.empty(widest, dtype=np.int32)
    for j in range(spans_y.shape[0]):
        low = spans_y[j, 2]
        high = spans_y[j, 3]
        for i in range(spans_x.shape[0]):
            begin = spans_x[i, 0]
            end = spans_x[i, 1]
            west = spans_x[i, 2]
            east = spans_x[i, 3]
            labels[0] = first[low, west]
            labels[1] = first[low, east]
            labels[2] = first[high, west]
            labels[3] = first[high, east]
            same = labels[0] == labels[1] and labels[0] == labels[2] and labels[0] == labels[3]
            sure = safe[low, west] & safe[low, east] & safe[high, west] & safe[high, east]
            if same and sure:
                for y in range(spans_y[j, 0], spans_y[j, 1]):
                    for x in range(begin, end):
                        out[y, x] = labels[0]
                continue
            for c in range(classes):
                values[0, c] = logits[c, low, west]
                values[1, c] = logits[c, low, east]
                values[2, c] = logits[c, high, west]
                values[3, c] = logits[c, high, east]
            n = _candidates(values, labels, beaten, picked)
            odd = _edges(values, picked, n, weights_x, begin, end, tops, bottoms)
            for y in range(spans_y[j, 0], spans_y[j, 1]):
                down = weights_y[y]
                if odd == 0:
                    _line(tops, bottoms, picked, n, down, best, winner, end - begin)
                else:
                    _line_nan(tops, bottoms, picked, n, down, best, winner, end - begin)
                for x in range(end - begin):
                    out[y, begin + x] = winner[x]
