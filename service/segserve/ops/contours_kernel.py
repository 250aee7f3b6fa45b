"""Compiled border following; arguments are trusted (see `segserve.ops.contours`).

Suzuki and Abe, "Topological structural analysis of digitized binary images by border following",
1985, algorithm 1: the order of borders and points is that of OpenCV's ``findContours``.
"""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_LONGS = types.Array(types.int64, 1, "C", readonly=True)

# neighbours counter-clockwise as seen on the screen, from the right one on
_DX = np.array([1, 1, 0, -1, -1, -1, 0, 1], dtype=np.int64)
_DY = np.array([0, -1, -1, -1, 0, 1, 1, 1], dtype=np.int64)

_VISITED = np.int8(2)
_RIGHT = np.int8(-2)


@njit()
def _follow(marks, y, x, towards, points, n):
    """Follow one border and mark its pixels.

    Parameters
    ----------
    marks : int8 [rows + 2, columns + 2]
        0 unset, 1 set, 2 visited, -2 visited with an unset pixel to the right.
    y, x : int
        Where the border begins.
    towards : int
        Direction of the unset pixel beside it: 4 (left) for outer borders, 0 (right) for holes.
    points : int64 [..., 2]
        Written from `n` on, as x and y.

    Returns
    -------
    n : int
        -1 when `points` is too short.
    """
    first = towards
    for turn in range(1, 9):
        first = (towards - turn) & 7
        if turn == 8 or marks[y + _DY[first], x + _DX[first]] != 0:
            break
    if first == towards:
        marks[y, x] = _RIGHT
        if n >= points.shape[0]:
            return -1
        points[n, 0] = x - 1
        points[n, 1] = y - 1
        return n + 1
    end_y = y + _DY[first]
    end_x = x + _DX[first]
    here_y = y
    here_x = x
    came = first
    while True:
        right_is_unset = False
        going = came
        for _ in range(8):
            going = (going + 1) & 7
            if marks[here_y + _DY[going], here_x + _DX[going]] != 0:
                break
            if going == 0:
                right_is_unset = True
        if right_is_unset:
            marks[here_y, here_x] = _RIGHT
        elif marks[here_y, here_x] == 1:
            marks[here_y, here_x] = _VISITED
        if n >= points.shape[0]:
            return -1
        points[n, 0] = here_x - 1
        points[n, 1] = here_y - 1
        n += 1
        next_y = here_y + _DY[going]
        next_x = here_x + _DX[going]
        if next_y == y and next_x == x and here_y == end_y and here_x == end_x:
            return n
        here_y = next_y
        here_x = next_x
        came = (going + 4) & 7


@njit()
def _mark_ends(row, left, right, ends):
    """Set ends[x] to 1 where a pixel is set and its left or right neighbour is not."""
    for x in range(row.shape[0]):
        ends[x] = (row[x] != 0) & ((left[x] == 0) | (right[x] == 0))


@njit()
def _borders(marks, points, splits, holes):
    """Follow all borders, row by row; gives their count, or -1 when an array is too short."""
    rows, columns = marks.shape
    ends = np.zeros((columns + 7) // 8 * 8, dtype=np.uint8)
    words = ends.view(np.uint64)
    n = 0
    found = 0
    for y in range(1, rows - 1):
        row = marks[y]
        _mark_ends(row[1 : columns - 1], row[: columns - 2], row[2:], ends[1 : columns - 1])
        for word in range(words.shape[0]):
            if words[word] == 0:
                continue
            for x in range(8 * word, 8 * word + 8):
                if ends[x] == 0:
                    continue
                if row[x] == 1 and row[x - 1] == 0:
                    towards = 4
                elif row[x] > 0 and row[x + 1] == 0:
                    towards = 0
                else:
                    continue
                n = _follow(marks, y, x, towards, points, n)
                if n < 0 or found + 1 >= splits.shape[0]:
                    return -1
                holes[found] = towards == 0
                found += 1
                splits[found] = n
    return found


@njit(
    types.Tuple((types.int64[:, ::1], types.int64[::1], types.boolean[::1]))(
        _LONGS, types.int64, types.UniTuple(types.int64, 4)
    )
)
def find_borders(edges, height, box):
    """Follow the borders of one mask.

    Parameters
    ----------
    edges : int64 [...]
        Beginnings and ends of its runs, column-major.
    height : int
    box : (int, int, int, int)
        The tight box x1, y1, x2, y2; not empty.

    Returns
    -------
    points : int64 [P, 2]
        x, y of all borders, one after the other.
    splits : int64 [B + 1]
    holes : bool [B]
    """
    x1, y1, x2, y2 = box
    shape = (y2 - y1 + 2, x2 - x1 + 2)
    room = 1024
    while True:
        marks = np.zeros(shape, dtype=np.int8)
        for i in range(0, edges.shape[0], 2):
            place = edges[i]
            while place < edges[i + 1]:
                column = place // height
                end = min(edges[i + 1], (column + 1) * height)
                for y in range(place - column * height, end - column * height):
                    marks[y - y1 + 1, column - x1 + 1] = 1
                place = end
        points = np.empty((room, 2), dtype=np.int64)
        splits = np.zeros(room, dtype=np.int64)
        holes = np.zeros(room, dtype=np.bool_)
        found = _borders(marks, points, splits, holes)
        if found >= 0:
            break
        room *= 4
    used = splits[found]
    for k in range(used):
        points[k, 0] += x1
        points[k, 1] += y1
    return points[:used].copy(), splits[: found + 1].copy(), holes[:found].copy()


@njit(types.boolean[::1](types.Array(types.int64, 2, "C", readonly=True)))
def turns(points):
    """Tell at which points of a closed chain the direction changes: bool [P]."""
    count = points.shape[0]
    out = np.ones(count, dtype=np.bool_)
    for k in range(count):
        before = points[k - 1]
        here = points[k]
        after = points[(k + 1) % count]
        out[k] = (
            here[0] - before[0] != after[0] - here[0] or here[1] - before[1] != after[1] - here[1]
        )
    return out


@njit(types.boolean[::1](types.Array(types.float64, 2, "C", readonly=True), types.float64))
def keep_far(points, tolerance):
    """Tell which points of an open chain Douglas and Peucker keep: bool [P], both ends among them."""
    count = points.shape[0]
    kept = np.zeros(count, dtype=np.bool_)
    kept[0] = True
    kept[count - 1] = True
    stack = np.empty((count + 1, 2), dtype=np.int64)
    stack[0, 0] = 0
    stack[0, 1] = count - 1
    depth = 1
    while depth > 0:
        depth -= 1
        begin = stack[depth, 0]
        end = stack[depth, 1]
        ax = points[begin, 0]
        ay = points[begin, 1]
        dx = points[end, 0] - ax
        dy = points[end, 1] - ay
        length = dx * dx + dy * dy
        worst = tolerance * tolerance
        at = -1
        for k in range(begin + 1, end):
            px = points[k, 0] - ax
            py = points[k, 1] - ay
            share = min(max((px * dx + py * dy) / length, 0.0), 1.0) if length > 0 else 0.0
            off_x = px - share * dx
            off_y = py - share * dy
            distance = off_x * off_x + off_y * off_y
            if distance > worst:
                worst = distance
                at = k
        if at >= 0:
            kept[at] = True
            stack[depth, 0] = begin
            stack[depth, 1] = at
            stack[depth + 1, 0] = at
            stack[depth + 1, 1] = end
            depth += 2
    return kept
