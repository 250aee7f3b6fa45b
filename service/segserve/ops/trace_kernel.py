"""Compiled tracing of thresholded planes: from soft samples to run edges, without the pixels.

Bilinear interpolation lies between its four samples, so a cell whose corners are all above the
threshold, or all below, is decided without looking at its pixels. In the others the crossing of
each column is solved for, and every pixel close to it is computed in the very order of sums that
torch uses. Arguments are trusted (see `segserve.ops.tracing`).
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.bilinear_kernel import ONE, interpolated
from segserve.ops.kernel_cache import njit

_FLOATS = types.Array(types.float32, 1, "C", readonly=True)
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_INTS = types.Array(types.int32, 1, "C", readonly=True)
_LONGS2 = types.Array(types.int64, 2, "C", readonly=True)

LONGEST = np.float32(1 << 20)
OUT = np.uint8(1)
IN = np.uint8(2)


@njit()
def _toggle(edges, base, n, place):
    """Add an edge; an end and a beginning at one place cancel. Gives the new count."""
    if n > base and edges[n - 1] == place:
        return n - 1
    edges[n] = place
    return n + 1


@njit()
def _list_cells(west, east, listed, after):
    """List the cells of one column of cells that are not decided by their corners.

    Parameters
    ----------
    west, east : uint8 [h]
        Codes of the samples on both sides.
    listed, after : int64 [at least h]
        Written: rows of the cells, rising; and the code of the cell below each, 0 if undecided.

    Returns
    -------
    n : int
    first : uint8
        Code of the first cell, 0 if undecided.
    """
    rows = west.shape[0] - 1
    n = 0
    previous = west[0] & east[0]
    first = np.uint8(0)
    follows = False
    for j in range(rows):
        here = west[j + 1] & east[j + 1]
        code = previous & here
        previous = here
        if j == 0:
            first = code
        if follows:
            after[n - 1] = code
            follows = False
        if code == 0:
            listed[n] = j
            after[n] = 0
            n += 1
            follows = True
    return n, first


@njit()
def _cross(gap, slope, begin, end, weights, guess, margin):
    """Split a cell's pixels into sure ones before the crossing, unsure ones and sure ones after.

    Parameters
    ----------
    gap : float32
        How far the cell's upper edge lies above the threshold; negative but for rounding.
    slope : float32
        By how much its lower edge lies higher.
    begin, end : int
        The cell's pixels.
    weights : float32 [...]
        Share of the lower edge at each pixel.
    guess : int
        Where the crossing may be.
    margin : float32
        How far from the threshold a pixel is sure.

    Returns
    -------
    unsure_begin, unsure_end : int
    """
    p = min(max(guess, begin), end)
    while p > begin and not gap + slope * weights[p - 1] < -margin:
        p -= 1
    while p < end and gap + slope * weights[p] < -margin:
        p += 1
    q = p
    while q < end and not gap + slope * weights[q] > margin:
        q += 1
    return p, q


@njit(
    types.Tuple((types.int64[::1], types.int64[::1]))(
        _FLOATS, _BYTES, _LONGS2, _FLOATS, _INTS, _FLOATS, types.float32, types.boolean, types.int64
    ),
    error_model="numpy",
)
def trace_planes(values, codes, shapes, margins, lows, weights, threshold, strict, height):
    """Find where the runs of set pixels begin and end.

    Parameters
    ----------
    values : float32 [...]
        Samples of all planes, one after the other, column by column.
    codes : uint8 [...]
        For each sample: OUT when surely below the threshold, IN when surely above, else 0.
    shapes : int64 [N, 11]
        Of each plane: where its samples begin, how many rows it has; the window of the image that
        it covers (y1, y2, x1, x2); where the window's axes begin in `lows` and `weights` (y, x);
        what to add to the rows and columns named there; the order of the sums.
    margins : float32 [N]
        How far from the threshold a value is sure.
    lows, weights
        Of each pixel of an axis: its lower sample and the share of the one after it.
    threshold : float32
    strict : bool
        Whether a pixel must be above the threshold, not only reach it.
    height : int
        Of the image.

    Returns
    -------
    edges : int64 [...]
        Column-major positions, rising; runs begin at even ones and end at odd ones of a plane.
    splits : int64 [N + 1]
        Plane n's edges are ``edges[splits[n]:splits[n + 1]]``.
    """
    planes = shapes.shape[0]
    splits = np.zeros(planes + 1, dtype=np.int64)
    edges = np.empty(16384, dtype=np.int64)
    listed = np.empty(height + 2, dtype=np.int64)
    after = np.empty(height + 2, dtype=np.int64)
    begins = np.empty(height + 2, dtype=np.int64)
    n = 0
    for plane in range(planes):
        at, rows, y1, y2, x1, x2, axis_y, axis_x, add_y, add_x, order = shapes[plane]
        margin = margins[plane]
        # unsigned places below spare the look at negative indices
        low = threshold - margin
        high = threshold + margin
        base = n
        if y1 >= y2 or x1 >= x2:
            splits[plane + 1] = n
            continue
        if rows + 1 > listed.shape[0]:
            listed = np.empty(rows + 1, dtype=np.int64)
            after = np.empty(rows + 1, dtype=np.int64)
            begins = np.empty(rows + 1, dtype=np.int64)
        count = y2 - y1
        downs = weights[axis_y : axis_y + count]
        cell = 0
        for k in range(count):
            while cell <= lows[axis_y + k] + add_y:
                begins[cell] = k
                cell += 1
        while cell < rows:
            begins[cell] = count
            cell += 1
        reach = np.float32(lows[axis_y + count - 1] - lows[axis_y]) + downs[count - 1] - downs[0]
        per_sample = np.float32(count - 1) / reach if reach > 0 else np.float32(0)
        previous = -1
        found = 0
        first = np.uint8(0)
        for x in range(x1, x2):
            i = lows[axis_x + x - x1] + add_x
            west = at + i * rows
            east = west + rows
            if i != previous:
                previous = i
                found, first = _list_cells(
                    codes[west:east], codes[east : east + rows], listed, after
                )
            if found == 0 and first == OUT:
                continue
            right = weights[axis_x + x - x1]
            left = ONE - right
            if n + count + 2 > edges.shape[0]:
                longer = np.empty(2 * edges.shape[0] + count, dtype=np.int64)
                longer[:n] = edges[:n]
                edges = longer
            top = x * height + y1
            inside = False
            if first == IN:
                n = _toggle(edges, base, n, top)
                inside = True
            for m in range(found):
                j = listed[m]
                begin = begins[j]
                end = begins[j + 1]
                here = np.uint64(west + j)
                there = np.uint64(east + j)
                a = values[here]
                b = values[there]
                c = values[here + np.uint64(1)]
                d = values[there + np.uint64(1)]
                v0 = left * a + right * b
                v1 = left * c + right * d
                if (v0 > high) & (v1 > high) | (v0 < low) & (v1 < low):
                    if begin < end and inside != (v0 > high):
                        n = _toggle(edges, base, n, top + begin)
                        inside = not inside
                elif begin < end:
                    falls = v0 > v1
                    slope = v1 - v0
                    gap = v0 - threshold
                    share = -gap / slope if slope != 0 else ONE
                    ahead = min(max((share - downs[begin]) * per_sample, np.float32(-1)), LONGEST)
                    side = np.float32(-1) if falls else ONE
                    p, q = _cross(
                        gap * side,
                        slope * side,
                        begin,
                        end,
                        downs,
                        begin + 1 + np.int64(ahead),
                        margin,
                    )
                    if p > begin and inside != falls:
                        n = _toggle(edges, base, n, top + begin)
                        inside = falls
                    for k in range(p, q):
                        value = interpolated(order, a, b, c, d, right, downs[k])
                        is_set = value > threshold if strict else value >= threshold
                        if is_set != inside:
                            n = _toggle(edges, base, n, top + k)
                            inside = is_set
                    if q < end and inside == falls:
                        n = _toggle(edges, base, n, top + q)
                        inside = not falls
                if after[m] != 0 and inside != (after[m] == IN):
                    n = _toggle(edges, base, n, top + end)
                    inside = not inside
            if inside:
                n = _toggle(edges, base, n, top + count)
        splits[plane + 1] = n
    return edges[:n], splits
