"""Compiled loops of snakes; arguments are trusted (`segserve.ops.classical.snake`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit("float64(float64, float64, float64, float64, float64)")
def _uneven(ay, ax, by, bx, mean):
    """Square the difference of a side's length and the mean length."""
    return (mean - np.sqrt((ay - by) ** 2 + (ax - bx) ** 2)) ** 2


@njit("float64(float64, float64, float64, float64, float64, float64)")
def _curvature(ay, ax, by, bx, cy, cx):
    """Give |a - 2 b + c|^2."""
    return (ay - 2 * by + cy) ** 2 + (ax - 2 * bx + cx) ** 2


@njit(
    "int64(int64[:, ::1], int64[:, ::1], float32[:, ::1], float64, int64, float64, float64, float64, float64)"
)
def greedy(contour, prior, field, mean, reach, tension, stiffness, image, shape):
    """Move each vertex in turn to the best place of its window; gives how many moved.

    All terms that a vertex takes part in are weighed, so that the energy at this mean never rises.
    """
    count = contour.shape[0]
    height, width = field.shape
    moved = 0
    for i in range(count):
        y, x = contour[i]
        py, px = contour[i - 1]
        ny, nx = contour[(i + 1) % count]
        ppy, ppx = contour[i - 2]
        nny, nnx = contour[(i + 2) % count]
        best, best_y, best_x = np.inf, y, x
        for step in range(-1, (2 * reach + 1) ** 2):
            if step < 0:
                vy, vx = y, x
            else:
                vy, vx = y + step // (2 * reach + 1) - reach, x + step % (2 * reach + 1) - reach
            if vy < 0 or vy >= height or vx < 0 or vx >= width:
                continue
            energy = tension * (_uneven(py, px, vy, vx, mean) + _uneven(vy, vx, ny, nx, mean))
            energy += stiffness * _curvature(ppy, ppx, py, px, vy, vx)
            energy += stiffness * _curvature(py, px, vy, vx, ny, nx)
            energy += stiffness * _curvature(vy, vx, ny, nx, nny, nnx)
            energy += image * field[vy, vx]
            energy += shape * ((vy - prior[i, 0]) ** 2 + (vx - prior[i, 1]) ** 2)
            if energy < best - 1e-9:
                best, best_y, best_x = energy, vy, vx
        if best_y != y or best_x != x:
            contour[i, 0], contour[i, 1] = best_y, best_x
            moved += 1
    return moved


@njit(
    "float64(int64[:, ::1], int64[:, ::1], float32[:, ::1], float64, float64, float64, float64, float64, int64, int64[:, ::1])"
)
def viterbi(contour, prior, field, mean, tension, stiffness, image, shape, first, best_contour):
    """Find the best contour whose vertices lie in 3 x 3 windows, vertex 0 at place `first`.

    States are places of two neighbouring vertices; vertex 1 is fixed at each place in turn, so that
    the terms across the seam are exact. Gives the energy, infinite where `first` is outside.
    """
    count = contour.shape[0]
    height, width = field.shape
    ys = np.empty((count, 9), np.int64)
    xs = np.empty((count, 9), np.int64)
    own = np.empty((count, 9))
    for i in range(count):
        for m in range(9):
            y, x = contour[i, 0] + m // 3 - 1, contour[i, 1] + m % 3 - 1
            ys[i, m], xs[i, m] = y, x
            if y < 0 or y >= height or x < 0 or x >= width:
                own[i, m] = np.inf
            else:
                own[i, m] = image * field[y, x] + shape * (
                    (y - prior[i, 0]) ** 2 + (x - prior[i, 1]) ** 2
                )
    cost = np.empty((9, 9))
    following = np.empty((9, 9))
    back = np.empty((count, 9, 9), np.int8)
    best = np.inf
    for second in range(9):
        cost[:] = np.inf
        cost[first, second] = (
            own[0, first]
            + own[1, second]
            + tension * _uneven(ys[0, first], xs[0, first], ys[1, second], xs[1, second], mean)
        )
        if not cost[first, second] < np.inf:
            continue
        for i in range(2, count):
            following[:] = np.inf
            for b in range(9):
                for c in range(9):
                    if not own[i, c] < np.inf:
                        continue
                    here = own[i, c] + tension * _uneven(
                        ys[i - 1, b], xs[i - 1, b], ys[i, c], xs[i, c], mean
                    )
                    for a in range(9):
                        if cost[a, b] < np.inf:
                            total = (
                                cost[a, b]
                                + here
                                + stiffness
                                * _curvature(
                                    ys[i - 2, a],
                                    xs[i - 2, a],
                                    ys[i - 1, b],
                                    xs[i - 1, b],
                                    ys[i, c],
                                    xs[i, c],
                                )
                            )
                            if total < following[b, c]:
                                following[b, c] = total
                                back[i, b, c] = a
            cost[:] = following
        for a in range(9):
            for b in range(9):
                if not cost[a, b] < np.inf:
                    continue
                total = cost[a, b] + tension * _uneven(
                    ys[count - 1, b], xs[count - 1, b], ys[0, first], xs[0, first], mean
                )
                total += stiffness * _curvature(
                    ys[count - 2, a],
                    xs[count - 2, a],
                    ys[count - 1, b],
                    xs[count - 1, b],
                    ys[0, first],
                    xs[0, first],
                )
                total += stiffness * _curvature(
                    ys[count - 1, b],
                    xs[count - 1, b],
                    ys[0, first],
                    xs[0, first],
                    ys[1, second],
                    xs[1, second],
                )
                if total < best:
                    best = total
                    before, last = a, b
                    for i in range(count - 1, 1, -1):
                        best_contour[i, 0], best_contour[i, 1] = ys[i, last], xs[i, last]
                        earlier = back[i, before, last]
                        last, before = before, earlier
                    best_contour[1, 0], best_contour[1, 1] = ys[1, second], xs[1, second]
                    best_contour[0, 0], best_contour[0, 1] = ys[0, first], xs[0, first]
    return best
