"""Rows to batches and back, without copying where rows already lie side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from segserve.core.tensor import Array


def stack(rows: Sequence[Array]) -> Array:
    """Put equal-shaped rows under a new first axis.

    Rows that follow one another in the memory of one array (the rows of a slab, of a request's
    array or of a model's output) give a view; anything else is copied once.

    Parameters
    ----------
    rows : sequence of arrays, all of one shape and dtype
        At least one.

    Returns
    -------
    array [len(rows), ...]
    """
    first = rows[0]
    if len(rows) == 1:
        return first[None]
    if side_by_side(rows):
        shape = (len(rows), *first.shape)
        strides = (first.nbytes, *first.strides)
        return as_strided(first, shape, strides, writeable=first.flags.writeable)
    return np.stack(rows)


def address(array: Array) -> int:
    """Give where an array's first element lies in memory."""
    return int(array.__array_interface__["data"][0])


def side_by_side(rows: Sequence[Array]) -> bool:
    """Whether rows follow one another in the memory of one array, in this order."""
    first = rows[0]
    if first.base is None or first.nbytes == 0 or first.dtype == object:
        return False
    start, step = address(first), first.nbytes
    return all(
        row.base is first.base
        and row.flags.c_contiguous
        and row.nbytes == step
        and address(row) == start + index * step
        for index, row in enumerate(rows)
    )
