"""Compiled loops of up-sampling and arg-max in one; arguments are trusted (`segserve.ops.argmax`).

Bilinear interpolation keeps order: when class k beats class j at the four corners of a cell of
logits, it does so at every point inside. So a cell whose corners agree is filled without looking
at its pixels, and in the others only classes that no corner's winner beats everywhere are
evaluated. Rounding could make a tie of a narrow win, and ties go to the lower class; wins
over lower classes therefore count only with a margin of several float32 roundings.
"""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_LOGITS = types.Array(types.float32, 3, "C", readonly=True)
_WEIGHTS = types.float32[::1]
_SPANS = types.int64[:, ::1]
_U8 = types.uint8[:, ::1]
_U16 = types.uint16[:, ::1]

MARGIN = np.float32(1e-6)
TINY = np.float32(1e-36)


@intrinsic
def _fma(typingctx, a, b, c):  # noqa: ARG001  the signature numba calls
    """Give a * b + c with one rounding, in float32: torch's CPU kernels are compiled so."""

    def generate(context, builder, signature, args):  # noqa: ARG001  likewise
        single = ir.FloatType()
        kind = ir.FunctionType(single, [single, single, single])
        return builder.call(builder.module.declare_intrinsic("llvm.fma", [single], kind), args)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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
    cache=True,
    nogil=True,
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


@njit(cache=True, nogil=True)
def _beats(winner, loser):
    """Whether one value is larger than another by the margin; False for what is not finite."""
    return winner - abs(winner) * MARGIN > loser + abs(loser) * MARGIN + TINY and not np.isinf(
        winner - loser
    )


@njit(cache=True, nogil=True)
def _candidates(values, labels, picked):
    """List the classes that may win somewhere in a cell, rising.

    Parameters
    ----------
    values : float32 [C, 4]
        Corner values of every class; the candidates' are moved to the front.
    labels : int64 [4]
        The corners' winners.
    picked : int64 [C]
        Written.

    Returns
    -------
    n : int
        How many were written.
    """
    beaten = np.zeros(values.shape[0], dtype=np.uint8)
    for i in range(4):
        k = labels[i]
        if i > 0 and k in labels[:i]:
            continue
        w0, w1, w2, w3 = values[k]
        for c in range(values.shape[0]):
            beaten[c] |= (
                _beats(w0, values[c, 0])
                & _beats(w1, values[c, 1])
                & _beats(w2, values[c, 2])
                & _beats(w3, values[c, 3])
            )
    n = 0
    for c in range(values.shape[0]):
        if not beaten[c]:
            picked[n] = c
            values[n] = values[c]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _evaluate(values, picked, n, weights_y, weights_x, out):
    """Interpolate the candidates at every pixel of a cell and write the first largest.

    Parameters
    ----------
    values : float32 [C, 4]
        Upper left, upper right, lower left, lower right of each candidate.
    weights_y, weights_x : float32 [rows], [columns]
        Share of the lower and of the right corners.
    out : uint8 or uint16 [rows, columns]
    """
    one = np.float32(1)
    for y in range(weights_y.shape[0]):
        down = weights_y[y]
        up = one - down
        for x in range(weights_x.shape[0]):
            right = weights_x[x]
            left = one - right
            best = np.float32(-np.inf)
            label = picked[0]
            for i in range(n):
                top = _fma(values[i, 0], left, values[i, 1] * right)
                bottom = _fma(values[i, 2], left, values[i, 3] * right)
                value = _fma(top, up, bottom * down)
                if i == 0 or value > best or (np.isnan(value) and not np.isnan(best)):
                    best = value
                    label = picked[i]
            out[y, x] = label


@njit(
    [
        types.void(_LOGITS, _U8, _U8, _SPANS, _SPANS, _WEIGHTS, _WEIGHTS, _U8),
        types.void(_LOGITS, _U16, _U8, _SPANS, _SPANS, _WEIGHTS, _WEIGHTS, _U16),
    ],
    cache=True,
    nogil=True,
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
    picked = np.empty(logits.shape[0], dtype=np.int64)
    values = np.empty((logits.shape[0], 4), dtype=np.float32)
    labels = np.empty(4, dtype=np.int64)
    for j in range(spans_y.shape[0]):
        top, bottom, low, high = spans_y[j]
        for i in range(spans_x.shape[0]):
            begin, end, west, east = spans_x[i]
            label = first[low, west]
            same = (
                label == first[low, east]
                and label == first[high, west]
                and label == first[high, east]
            )
            sure = safe[low, west] & safe[low, east] & safe[high, west] & safe[high, east]
            if same and sure:
                out[top:bottom, begin:end] = label
                continue
            labels[0] = label
            labels[1] = first[low, east]
            labels[2] = first[high, west]
            labels[3] = first[high, east]
            for c in range(logits.shape[0]):
                values[c, 0] = logits[c, low, west]
                values[c, 1] = logits[c, low, east]
                values[c, 2] = logits[c, high, west]
                values[c, 3] = logits[c, high, east]
            n = _candidates(values, labels, picked)
            _evaluate(
                values,
                picked,
                n,
                weights_y[top:bottom],
                weights_x[begin:end],
                out[top:bottom, begin:end],
            )
