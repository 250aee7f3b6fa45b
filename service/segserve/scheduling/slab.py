"""Memory for network inputs: rows handed out one after another from a batch-sized array.

Images that are prepared one after another for one bucket get neighbouring rows, so that the batch
that takes them is a view of the slab and nothing is copied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segserve.core.tensor import Array

_OPEN_SLABS = 4  # slabs with rows left, one per bucket; the one unused for longest is let go

_ALL_FLOAT32: Mapping[str, np.dtype[Any]] = {}

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class _Slab:
    arrays: dict[str, Array]
    next_row: int = 0


class SlabAllocator:
    """Hands out rows; a slab's memory is free once its last row is.

    Parameters
    ----------
    rows : int
        Rows per slab: the model's largest batch.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._open: OrderedDict[Shapes, _Slab] = OrderedDict()

    def row(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, np.dtype[Any]] = _ALL_FLOAT32,
    ) -> dict[str, Array]:
        """Give one uninitialised, writable row per input, of these shapes (no batch axis).

        Parameters
        ----------
        dtypes : Mapping
            Of the inputs that are not float32; the same for an input of a model at every call.
        """
        key: Shapes = tuple(sorted(shapes.items()))
        slab = self._open.pop(key, None)
        if slab is None:
            slab = _Slab(
                {
                    n: np.empty((self._rows, *s), dtypes.get(n, np.float32))
                    for n, s in shapes.items()
                }
            )
        row = {name: array[slab.next_row] for name, array in slab.arrays.items()}
        slab.next_row += 1
        if slab.next_row < self._rows:
            self._open[key] = slab
            if len(self._open) > _OPEN_SLABS:
                self._open.popitem(last=False)
        return row
