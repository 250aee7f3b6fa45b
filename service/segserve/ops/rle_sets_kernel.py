"""Compiled set operations on runs; arguments are trusted (see `segserve.ops.rle_sets`)."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_LONGS = types.Array(types.int64, 1, "C", readonly=True)


@njit(types.int64(_LONGS, _LONGS))
def _shared(a, b):
    """Count the pixels that lie in runs of both lists of edges."""
    i = 0
    k = 0
    shared = 0
    while i < a.shape[0] and k < b.shape[0]:
        begin = max(a[i], b[k])
        end = min(a[i + 1], b[k + 1])
        if begin < end:
            shared += end - begin
        if a[i + 1] < b[k + 1]:
            i += 2
        else:
            k += 2
    return shared


@njit()
def box_of_edges(edges, height):
    """x1, y1, x2, y2 (exclusive ends) of the set pixels; zeros when there are none."""
    x1 = np.int64(1) << 62
    y1 = x1
    x2 = np.int64(0)
    y2 = np.int64(0)
    for i in range(0, edges.shape[0], 2):
        place = edges[i]
        end = edges[i + 1]
        if end > place:
            first = place // height
            final = (end - 1) // height
            x1 = min(x1, first)
            x2 = max(x2, final + 1)
            if first < final:
                y1 = 0
                y2 = height
            else:
                y1 = min(y1, place - first * height)
                y2 = max(y2, end - final * height)
    if x2 == 0:
        x1 = 0
        y1 = 0
    return x1, y1, x2, y2


@njit(types.int64[::1](_LONGS, _LONGS))
def areas_of_edges(edges, splits):
    """Set pixels of each mask: int64 [N]."""
    areas = np.zeros(splits.shape[0] - 1, dtype=np.int64)
    for mask in range(areas.shape[0]):
        for i in range(splits[mask], splits[mask + 1], 2):
            areas[mask] += edges[i + 1] - edges[i]
    return areas


@njit(types.int64[:, ::1](_LONGS, _LONGS, _LONGS))
def boxes_of_edges(edges, splits, heights):
    """Tight box of each mask: int64 [N, 4]."""
    boxes = np.empty((splits.shape[0] - 1, 4), dtype=np.int64)
    for mask in range(boxes.shape[0]):
        boxes[mask] = box_of_edges(edges[splits[mask] : splits[mask + 1]], heights[mask])
    return boxes


@njit(types.int64[:, ::1](_LONGS, _LONGS, _LONGS, _LONGS, types.int64))
def shared_areas(edges, splits, other_edges, other_splits, height):
    """Count the pixels that each mask of one list shares with each of another: int64 [N, M]."""
    rows = splits.shape[0] - 1
    columns = other_splits.shape[0] - 1
    out = np.zeros((rows, columns), dtype=np.int64)
    boxes = boxes_of_edges(edges, splits, np.full(rows, height))
    others = boxes_of_edges(other_edges, other_splits, np.full(columns, height))
    for n in range(rows):
        a = edges[splits[n] : splits[n + 1]]
        x1, y1, x2, y2 = boxes[n]
        for m in range(columns):
            if x1 < others[m, 2] and others[m, 0] < x2 and y1 < others[m, 3] and others[m, 1] < y2:
                b = other_edges[other_splits[m] : other_splits[m + 1]]
                first = np.searchsorted(b, a[0], "right") // 2 * 2
                out[n, m] = _shared(a, b[first:])
    return out


@njit(types.int64[::1](_LONGS, types.int64))
def covered(events, least):
    """Give the edges of where at least `least` masks are set.

    Parameters
    ----------
    events : int64 [E]
        Sorted: twice the place of every edge, one more at ends.
    """
    out = np.empty(events.shape[0], dtype=np.int64)
    n = 0
    depth = 0
    for i in range(events.shape[0]):
        place = events[i] >> 1
        was = depth >= least
        depth += -1 if events[i] & 1 else 1
        if (depth >= least) != was:
            if n > 0 and out[n - 1] == place:
                n -= 1
            else:
                out[n] = place
                n += 1
    return out[:n]


@njit(types.int64[::1](_LONGS, types.int64))
def complement(edges, total):
    """Give the edges of the pixels, `total` in all, that a mask has not."""
    out = np.empty(edges.shape[0] + 2, dtype=np.int64)
    out[0] = 0
    n = 1
    for i in range(edges.shape[0] + 1):
        place = edges[i] if i < edges.shape[0] else total
        if n > 0 and out[n - 1] == place:
            n -= 1
        else:
            out[n] = place
            n += 1
    return out[:n]


@njit(types.Tuple((types.int64[:, ::1], types.int64))(_LONGS, types.int64))
def column_runs(edges, height):
    """Cut runs at the ends of columns.

    Returns
    -------
    runs : int64 [R, 3]
        Column, first row, end row; in column order.
    n : int
        R.
    """
    total = 0
    for i in range(0, edges.shape[0], 2):
        if edges[i] < edges[i + 1]:
            total += (edges[i + 1] - 1) // height - edges[i] // height + 1
    runs = np.empty((total, 3), dtype=np.int64)
    n = 0
    for i in range(0, edges.shape[0], 2):
        place = edges[i]
        while place < edges[i + 1]:
            column = place // height
            end = min(edges[i + 1], (column + 1) * height)
            runs[n, 0] = column
            runs[n, 1] = place - column * height
            runs[n, 2] = end - column * height
            n += 1
            place = end
    return runs, n


@njit(types.int64(types.int64[::1], types.int64))
def _root(parents, run):
    """Find the first run that a run hangs on; halves the way there."""
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@njit(types.int64[::1](types.Array(types.int64, 2, "C", readonly=True), types.int64))
def label_runs(runs, touch):
    """Join runs of neighbouring columns that touch.

    Parameters
    ----------
    runs : int64 [R, 3]
        As `column_runs` gives them.
    touch : int
        1 when corners touch, else 0.

    Returns
    -------
    labels : int64 [R]
        Component of each run, from 0 on in the order of their first runs.
    """
    count = runs.shape[0]
    parents = np.arange(count)
    behind = 0
    for run in range(count):
        column, begin, end = runs[run]
        while behind < run and (
            runs[behind, 0] < column - 1
            or (runs[behind, 0] == column - 1 and runs[behind, 2] + touch <= begin)
        ):
            behind += 1
        other = behind
        while other < run and runs[other, 0] == column - 1 and runs[other, 1] < end + touch:
            a = _root(parents, other)
            b = _root(parents, run)
            parents[max(a, b)] = min(a, b)
            other += 1
    labels = np.empty(count, dtype=np.int64)
    found = 0
    for run in range(count):
        if parents[run] == run:
            labels[run] = found
            found += 1
        else:
            labels[run] = labels[_root(parents, run)]
    return labels


@njit(types.int64[::1](types.Array(types.int64, 2, "C", readonly=True), types.int64))
def join_runs(runs, height):
    """Give the edges of runs in column order; runs that meet become one."""
    edges = np.empty(2 * runs.shape[0], dtype=np.int64)
    n = 0
    for run in range(runs.shape[0]):
        begin = runs[run, 0] * height + runs[run, 1]
        if n > 0 and edges[n - 1] == begin:
            n -= 1
        else:
            edges[n] = begin
            n += 1
        edges[n] = runs[run, 0] * height + runs[run, 2]
        n += 1
    return edges[:n]


@njit(types.uint8[:, ::1](_LONGS, types.int64, types.UniTuple(types.int64, 4)))
def crop_of_edges(edges, height, box):
    """Set the pixels of a mask in a canvas of its tight box (x1, y1, x2, y2): uint8 [h, w]."""
    x1, y1, x2, y2 = box
    canvas = np.zeros((y2 - y1, x2 - x1), dtype=np.uint8)
    for i in range(0, edges.shape[0], 2):
        place = edges[i]
        while place < edges[i + 1]:
            column = place // height
            end = min(edges[i + 1], (column + 1) * height)
            for y in range(place - column * height, end - column * height):
                canvas[y - y1, column - x1] = 1
            place = end
    return canvas
