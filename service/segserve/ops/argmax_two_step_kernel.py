"""Compiled loop of the two-step argmax; arguments are trusted (see `argmax_two_step`)."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_LOGITS = types.Array(types.float32, 3, "C", readonly=True)
_INDEX = types.int64[:, ::1]
_WEIGHT = types.float32[:, ::1]


@njit()
def _weigh_rows(logits, c, y, rows, row_weights, line):
    """Weigh the rows of one class that a row of the result looks at."""
    for x in range(line.shape[0]):
        line[x] = logits[c, rows[0, y], x] * row_weights[0, y]
    for tap in range(1, rows.shape[0]):
        share = row_weights[tap, y]
        if share != 0:
            source = logits[c, rows[tap, y]]
            for x in range(line.shape[0]):
                line[x] += source[x] * share


@njit()
def _weigh_columns(line, columns, column_weights, values):
    """Weigh what every column of the result looks at."""
    for x in range(values.shape[0]):
        values[x] = line[columns[0, x]] * column_weights[0, x]
    for tap in range(1, columns.shape[0]):
        for x in range(values.shape[0]):
            values[x] += line[columns[tap, x]] * column_weights[tap, x]


@njit(
    [
        (_LOGITS, _INDEX, _WEIGHT, _INDEX, _WEIGHT, labels[:, ::1])
        for labels in (types.uint8, types.uint16)
    ]
)
def weigh_argmax(logits, rows, row_weights, columns, column_weights, labels):
    """Weigh logits along both axes and write the first largest class of every pixel.

    Parameters
    ----------
    logits : float32 [C, h, w]
    rows : int64 [T, H]
        Which rows of the logits each row of the result looks at, T taps.
    row_weights : float32 [T, H]
        Their shares.
    columns, column_weights : [S, W]
    labels : uint8 or uint16 [H, W]
        Written.
    """
    classes, _, low_width = logits.shape
    height, width = labels.shape
    line = np.empty(low_width, dtype=np.float32)
    values = np.empty(width, dtype=np.float32)
    best = np.empty(width, dtype=np.float32)
    winner = np.empty(width, dtype=np.uint16)
    for y in range(height):
        for c in range(classes):
            _weigh_rows(logits, c, y, rows, row_weights, line)
            _weigh_columns(line, columns, column_weights, best if c == 0 else values)
            if c == 0:
                winner[:] = 0
                continue
            for x in range(width):
                wins = values[x] > best[x]
                best[x] = values[x] if wins else best[x]
                winner[x] = np.uint16(c) if wins else winner[x]
        for x in range(width):
            labels[y, x] = winner[x]
