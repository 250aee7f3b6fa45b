"""Compiled filling of polygons; arguments are trusted (see `segserve.ops.polygons`).

The rules are those of OpenCV's ``drawContours(thickness=FILLED)`` in ``modules/imgproc/src/
drawing.cpp``: 8-connected lines (LineIterator, clipLine) between corners, and between pairs of
edges spans with ends in 16-bit fixed point (CollectPolyEdges, FillEdgeCollection).
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take what they write to as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_SHIFT = 16
_ONE = 1 << _SHIFT


@njit()
def _quotient(a, b):
    """Divide integers towards zero, as C does."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


@njit()
def _side(x, y, right, bottom):
    return (x < 0) + (x > right) * 2 + (y < 0) * 4 + (y > bottom) * 8


@njit()
def _clip(x1, y1, x2, y2, right, bottom):
    """Cut a line to the image; gives its ends and whether any of it is inside."""
    c1 = _side(x1, y1, right, bottom)
    c2 = _side(x2, y2, right, bottom)
    if c1 & c2 == 0 and c1 | c2 != 0:
        if c1 & 12:
            a = 0 if c1 < 8 else bottom
            x1 += np.int64(np.float64(a - y1) * np.float64(x2 - x1) / np.float64(y2 - y1))
            y1 = a
            c1 = (x1 < 0) + (x1 > right) * 2
        if c2 & 12:
            a = 0 if c2 < 8 else bottom
            x2 += np.int64(np.float64(a - y2) * np.float64(x2 - x1) / np.float64(y2 - y1))
            y2 = a
            c2 = (x2 < 0) + (x2 > right) * 2
        if c1 & c2 == 0 and c1 | c2 != 0:
            if c1:
                a = 0 if c1 == 1 else right
                y1 += np.int64(np.float64(a - x1) * np.float64(y2 - y1) / np.float64(x2 - x1))
                x1 = a
                c1 = 0
            if c2:
                a = 0 if c2 == 1 else right
                y2 += np.int64(np.float64(a - x2) * np.float64(y2 - y1) / np.float64(x2 - x1))
                x2 = a
                c2 = 0
    return x1, y1, x2, y2, c1 | c2 == 0


@njit()
def _draw_line(x1, y1, x2, y2, left, top, canvas):
    """Draw an 8-connected line from left to right; both ends lie on the canvas."""
    if x2 < x1:
        x1, y1, x2, y2 = x2, y2, x1, y1
    dx = x2 - x1
    dy = abs(y2 - y1)
    down = 1 if y2 >= y1 else -1
    steep = dy > dx
    long = dy if steep else dx
    short = dx if steep else dy
    error = long - 2 * short
    x = x1 - left
    y = y1 - top
    for _ in range(long + 1):
        canvas[y, x] = 1
        aside = error < 0
        error += 2 * long - 2 * short if aside else -2 * short
        if steep:
            y += down
            x += aside
        else:
            x += 1
            y += down if aside else 0


@njit()
def _fill_rows(edges, count, height, left, top, canvas):
    """Set the spans between pairs of edges.

    Parameters
    ----------
    edges : int64 [at least count, 4]
        First row, end row, x in fixed point at the first row, its change a row.
    """
    crossings = np.empty(count, dtype=np.int64)
    first = height
    last = 0
    for k in range(count):
        first = min(first, max(edges[k, 0], 0))
        last = max(last, min(edges[k, 1], height))
    for y in range(first, last):
        n = 0
        for k in range(count):
            if edges[k, 0] <= y < edges[k, 1]:
                x = edges[k, 2] + (y - edges[k, 0]) * edges[k, 3]
                place = n
                while place > 0 and crossings[place - 1] > x:
                    crossings[place] = crossings[place - 1]
                    place -= 1
                crossings[place] = x
                n += 1
        for pair in range(0, n - 1, 2):
            begin = max(((crossings[pair] + _ONE - 1) >> _SHIFT) - left, 0)
            end = min((crossings[pair + 1] >> _SHIFT) - left + 1, canvas.shape[1])
            for x in range(begin, end):
                canvas[y - top, x] = 1


@njit()
def _draw(contour, height, width, edges, left, top, canvas):
    """Fill one polygon on a canvas whose upper left pixel is (left, top) of the image."""
    points = contour.shape[0]
    count = 0
    x0 = contour[points - 1, 0]
    y0 = contour[points - 1, 1]
    for k in range(points):
        x1 = contour[k, 0]
        y1 = contour[k, 1]
        fx0 = x0 << _SHIFT
        fx1 = x1 << _SHIFT
        fy0 = y0
        fy1 = y1
        a0, b0, a1, b1, visible = _clip(x0, y0, x1, y1, width - 1, height - 1)
        if visible:
            _draw_line(a0, b0, a1, b1, left, top, canvas)
        if not (0 <= x0 < width and 0 <= x1 < width and 0 <= y0 < height and 0 <= y1 < height):
            fx0 = a0 << _SHIFT
            fx1 = a1 << _SHIFT
            if b0 != b1:
                fy0 = b0
                fy1 = b1
        if y0 != y1:
            slope = _quotient(fx1 - fx0, fy1 - fy0)
            if y0 < y1:
                edges[count, 0] = y0
                edges[count, 1] = y1
                edges[count, 2] = fx0 + (y0 - fy0) * slope
            else:
                edges[count, 0] = y1
                edges[count, 1] = y0
                edges[count, 2] = fx1 + (y1 - fy1) * slope
            edges[count, 3] = slope
            count += 1
        x0 = x1
        y0 = y1
    _fill_rows(edges, count, height, left, top, canvas)


@njit()
def _mark_changes(row, above, marks):
    """Set marks[x] to 1 where row[x] differs from above[x]; all have equal length."""
    for x in range(row.shape[0]):
        marks[x] = row[x] != above[x]


@njit()
def _count_changes(canvas, begins, xs, ys):
    """List the changes down the columns, row by row, and count them by column.

    Parameters
    ----------
    canvas : uint8 [rows, columns]
        Its first and last row are zeros.
    begins : int64 [columns + 1]
        Added to: begins[x + 1] counts column x.
    xs, ys : int32 [...]
        Written.

    Returns
    -------
    n : int
        -1 when there are more than `xs` holds.
    """
    rows, columns = canvas.shape
    marks = np.zeros((columns + 7) // 8 * 8, dtype=np.uint8)
    words = marks.view(np.uint64)
    n = 0
    for y in range(1, rows):
        _mark_changes(canvas[y], canvas[y - 1], marks[:columns])
        if n + columns > xs.shape[0]:
            return -1
        for word in range(words.shape[0]):
            if words[word] == 0:
                continue
            for x in range(8 * word, 8 * word + 8):
                if marks[x] != 0:
                    xs[n] = x
                    ys[n] = y
                    begins[x + 1] += 1
                    n += 1
    return n


@njit()
def _list_edges(canvas, left, top, height, out, base, n):
    """Append the edges of a canvas' runs in column order; gives the new count.

    Parameters
    ----------
    canvas : uint8 [rows + 2, columns]
        With a row of zeros above and below.
    """
    columns = canvas.shape[1]
    begins = np.zeros(columns + 1, dtype=np.int64)
    room = 16 * columns + 4096
    while True:
        xs = np.empty(room, dtype=np.int32)
        ys = np.empty(room, dtype=np.int32)
        changes = _count_changes(canvas, begins, xs, ys)
        if changes >= 0:
            break
        begins[:] = 0
        room *= 4
    for x in range(columns):
        begins[x + 1] += begins[x]
    places = np.empty(changes, dtype=np.int64)
    for k in range(changes):
        x = xs[k]
        places[begins[x]] = (left + x) * height + top + ys[k] - 1
        begins[x] += 1
    for k in range(changes):
        n = _toggle(out, base, n, places[k])
    return n


@njit()
def _toggle(edges, base, n, place):
    """Add an edge; an end and a beginning at one place cancel. Gives the new count."""
    if n > base and edges[n - 1] == place:
        return n - 1
    edges[n] = place
    return n + 1


@njit(
    types.Tuple((types.int64[::1], types.int64[::1]))(
        types.Array(types.int64, 3, "C", readonly=True), types.int64, types.int64
    )
)
def fill(contours, height, width):
    """Fill polygons, one mask each.

    Parameters
    ----------
    contours : int64 [N, P, 2]
        x, y; P at least 1; within 2**24 of zero, so that nothing overflows.
    height, width : int

    Returns
    -------
    edges, splits
        As `edges_to_rles` takes them.
    """
    masks, points, _ = contours.shape
    lines = np.empty((points, 4), dtype=np.int64)
    edges = np.empty(4096, dtype=np.int64)
    splits = np.zeros(masks + 1, dtype=np.int64)
    n = 0
    for mask in range(masks):
        contour = contours[mask]
        left = max(contour[:, 0].min(), 0)
        right = min(contour[:, 0].max() + 1, width)
        top = max(contour[:, 1].min(), 0)
        bottom = min(contour[:, 1].max() + 1, height)
        if left < right and top < bottom:
            canvas = np.zeros((bottom - top + 2, right - left), dtype=np.uint8)
            _draw(contour, height, width, lines, left, top, canvas[1:-1])
            most = (bottom - top + 2) * (right - left)
            if n + most > edges.shape[0]:
                longer = np.empty(2 * edges.shape[0] + most, dtype=np.int64)
                longer[:n] = edges[:n]
                edges = longer
            n = _list_edges(canvas, left, top, height, edges, splits[mask], n)
        splits[mask + 1] = n
    return edges[:n], splits
