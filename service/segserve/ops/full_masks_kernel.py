"""Compiled tracing of masks that are interpolated twice; arguments are trusted.

Both interpolations lie between their samples, so a pixel whose samples are all surely above the
threshold, or all surely below, is decided without being computed (see `segserve.ops.full_masks`).
The others are computed from products of both interpolations' weights, and again in torch's very
order of sums where that is too close to the threshold.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take what they write to as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.bilinear_kernel import interpolated, largest_magnitude
from segserve.ops.kernel_cache import njit

_MASKS = types.Array(types.float32, 3, "C", readonly=True)
_INTS = types.Array(types.int32, 1, "C", readonly=True)
_INTS2 = types.Array(types.int32, 2, "C", readonly=True)
_FLOATS = types.Array(types.float32, 1, "C", readonly=True)
_FLOATS2 = types.Array(types.float32, 2, "C", readonly=True)
_AXIS = types.Tuple((_INTS2, _FLOATS2, _INTS, _FLOATS2))

OUT = np.uint8(1)
IN = np.uint8(2)
ANY = np.uint8(3)
RELATIVE_MARGIN = np.float32(1e-5)


@njit()
def _exact(mask, samples_y, weights_y, samples_x, weights_x, y, x, orders):
    """Interpolate twice, in torch's order: four pixels of the network's input, then this pixel.

    Parameters
    ----------
    samples_y, samples_x : int32 [n, 4]
        Of each pixel: samples on both sides of the first pixel of the network's input that it lies
        beside, then those of the second.
    weights_y, weights_x : float32 [n, 3]
        Shares of the second in each pair, and of the second pixel.
    """
    y0 = samples_y[y, 0]
    y1 = samples_y[y, 1]
    y2 = samples_y[y, 2]
    y3 = samples_y[y, 3]
    x0 = samples_x[x, 0]
    x1 = samples_x[x, 1]
    x2 = samples_x[x, 2]
    x3 = samples_x[x, 3]
    near = weights_x[x, 0]
    far = weights_x[x, 1]
    upper = weights_y[y, 0]
    lower = weights_y[y, 1]
    first, second = orders
    a = interpolated(first, mask[y0, x0], mask[y0, x1], mask[y1, x0], mask[y1, x1], near, upper)
    b = interpolated(first, mask[y0, x2], mask[y0, x3], mask[y1, x2], mask[y1, x3], far, upper)
    c = interpolated(first, mask[y2, x0], mask[y2, x1], mask[y3, x0], mask[y3, x1], near, lower)
    d = interpolated(first, mask[y2, x2], mask[y2, x3], mask[y3, x2], mask[y3, x3], far, lower)
    return interpolated(second, a, b, c, d, weights_x[x, 2], weights_y[y, 2])


@njit()
def _code(mask, low, high, codes):
    """Write each sample's code, by rows, and find the rows and columns that are not all out.

    Returns
    -------
    top, bottom, left, right : int
        Half-open; all zero when everything is out.
    """
    rows, columns = mask.shape
    some = np.zeros(columns, dtype=np.uint8)
    top = rows
    bottom = 0
    for j in range(rows):
        seen = np.uint8(0)
        for i in range(columns):
            code = np.uint8(mask[j, i] < low) | (np.uint8(mask[j, i] > high) << 1)
            codes[j, i] = code
            some[i] |= code ^ OUT
            seen |= code ^ OUT
        if seen != 0:
            top = min(top, j)
            bottom = j + 1
    left = columns
    right = 0
    for i in range(columns):
        if some[i] != 0:
            left = min(left, i)
            right = i + 1
    if bottom == 0:
        return 0, 0, 0, 0
    return top, bottom, left, right


@njit()
def _join_columns(codes, i, reach, begin, end, joined):
    """Write which codes all of the columns `i` to ``i + reach`` share, for rows `begin` to `end`."""
    joined[begin:end] = codes[i, begin:end]
    for t in range(1, reach):
        _and(joined[begin:end], codes[i + t, begin:end])


@njit()
def _and(into, other):
    for j in range(into.shape[0]):
        into[j] &= other[j]


@njit()
def _list_cells(joined, reach, begin, end, cells, listed):
    """Write which code each window of `reach` rows shares, and list the windows that share none."""
    cells[begin:end] = joined[begin:end]
    for t in range(1, reach):
        _and(cells[begin:end], joined[begin + t : end + t])
    n = 0
    for j in range(begin, end):
        if cells[j] == 0:
            listed[n] = j
            n += 1
    return n


@njit()
def _toggle(edges, base, n, place):
    """Add an edge; an end and a beginning at one place cancel. Gives the new count."""
    if n > base and edges[n - 1] == place:
        return n - 1
    edges[n] = place
    return n + 1


@njit()
def _profile(mask, j, i, taps, profile):
    """Interpolate some rows of samples, from `j` on, along x: the values at one column of pixels."""
    rows, columns = mask.shape
    for k in range(profile.shape[0]):
        row = mask[min(j + k, rows - 1)]
        total = np.float32(0)
        for t in range(taps.shape[0]):
            total += taps[t] * row[min(i + t, columns - 1)]
        profile[k] = total


@njit(
    types.Tuple((types.int64[::1], types.int64[::1]))(
        _MASKS, _AXIS, _AXIS, types.float32, types.UniTuple(types.int64, 2)
    ),
    error_model="numpy",
)
def trace_twice(masks, axis_y, axis_x, threshold, lanes):
    """Find where the runs of set pixels begin and end.

    Parameters
    ----------
    masks : float32 [N, h, w]
    axis_y, axis_x : (samples, weights, begins, taps)
        Of each pixel of the result: int32 [n, 4] and float32 [n, 3] as `_exact` takes them; int32
        [h + 1], the first pixel whose samples begin at each sample or later; float32 [n, K], the
        shares of K samples from its first one on.
    threshold : float32
        A pixel is set above it.
    lanes : (int, int)
        Of both interpolations: how many of the first masks torch adds up in lanes; -1 where it
        adds up in its generic order.

    Returns
    -------
    edges, splits
        As `trace_planes` gives them.
    """
    samples_y, weights_y, begins, taps_y = axis_y
    samples_x, weights_x, begins_x, taps_x = axis_x
    planes, rows, columns = masks.shape
    height = samples_y.shape[0]
    reach_y = taps_y.shape[1]
    reach_x = taps_x.shape[1]
    codes = np.empty((rows, columns), dtype=np.uint8)
    turned = np.full((columns + reach_x, rows + reach_y), OUT, dtype=np.uint8)
    turned[columns:] = ANY
    turned[:, rows:] = ANY
    joined = np.empty(rows + reach_y, dtype=np.uint8)
    cells = np.empty(rows + reach_y, dtype=np.uint8)
    listed = np.empty(rows + 1, dtype=np.int64)
    profile = np.empty(reach_y, dtype=np.float32)
    edges = np.empty(16384, dtype=np.int64)
    splits = np.zeros(planes + 1, dtype=np.int64)
    n = 0
    for plane in range(planes):
        mask = masks[plane]
        base = n
        margin = largest_magnitude(mask) * RELATIVE_MARGIN
        low = threshold - margin
        high = threshold + margin
        top, bottom, left, right = _code(mask, low, high, codes)
        for i in range(left, right):
            for j in range(top, bottom):
                turned[i, j] = codes[j, i]
        orders = (
            0 if lanes[0] < 0 else (2 if plane < lanes[0] else 3),
            0 if lanes[1] < 0 else (2 if plane < lanes[1] else 3),
        )
        begin = max(top - reach_y + 1, 0)
        found = 0
        previous = -1
        for x in range(begins_x[max(left - reach_x + 1, 0)], begins_x[right]):
            i = samples_x[x, 0]
            if i != previous:
                previous = i
                _join_columns(turned, i, reach_x, begin, bottom + reach_y - 1, joined)
                found = _list_cells(joined, reach_y, begin, bottom, cells, listed)
                cells[bottom] = OUT
            if found == 0 and cells[begin] == OUT:
                continue
            if n + height + 2 > edges.shape[0]:
                longer = np.empty(2 * edges.shape[0] + height, dtype=np.int64)
                longer[:n] = edges[:n]
                edges = longer
            at = x * height
            inside = False
            if cells[begin] == IN:
                n = _toggle(edges, base, n, at + begins[begin])
                inside = True
            for m in range(found):
                j = listed[m]
                end = begins[j + 1]
                if begins[j] < end:
                    _profile(mask, j, i, taps_x[x], profile)
                for y in range(begins[j], end):
                    value = np.float32(0)
                    for k in range(reach_y):
                        value += taps_y[y, k] * profile[k]
                    if not abs(value - threshold) > margin:
                        value = _exact(
                            mask, samples_y, weights_y, samples_x, weights_x, y, x, orders
                        )
                    if (value > threshold) != inside:
                        n = _toggle(edges, base, n, at + y)
                        inside = not inside
                below = cells[j + 1]
                if below != 0 and inside != (below == IN):
                    n = _toggle(edges, base, n, at + end)
                    inside = not inside
            if inside:
                n = _toggle(edges, base, n, at + begins[bottom])
        turned[left:right, top:bottom] = OUT
        splits[plane + 1] = n
    return edges[:n], splits
