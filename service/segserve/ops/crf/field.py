"""Mean-field inference over the two lattices of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import Cancelled
from segserve.ops.crf.lattice import UNUSED_EVERY, Floats, Ints, Lattice

_LANES = 8
_LINE_FLOATS = 16
_STRAIGHT = 3
_FLAT_AXES = 3
EXACT, LAZY = 1e-6, 1e-3
"""How far a belief may be from what the messages would make of it: pixels where it cannot be
further are left alone. Float32 sums in another order move single beliefs about as far as the
first."""

Planes = npt.NDArray[np.float32]


def _kernel() -> Any:
    from segserve.ops.crf import field_kernel  # noqa: PLC0415  numba opens late

    return field_kernel


def _few() -> Any:
    from segserve.ops.crf import few_kernel  # noqa: PLC0415  numba opens late

    return few_kernel


def _passes() -> Any:
    from segserve.ops.crf import pass_kernel  # noqa: PLC0415  numba opens late

    return pass_kernel


def padded(labels: int) -> int:
    """Give the floats in a row of this many labels: a multiple of eight."""
    return -(-labels // _LANES) * _LANES


def groups_of(width: int, straight: int = _STRAIGHT) -> tuple[int, ...] | npt.NDArray[np.int64]:
    """Give what stands for rows of this many floats in the kernels (`pass_kernel`).

    Parameters
    ----------
    width : int
    straight : int
        Up to how many groups of eight the kernel is straight code for.
    """
    count = width // _LANES
    return (0,) * count if count <= straight else np.zeros(count, np.int64)


def aligned(count: int, *, cleared: bool = True) -> Floats:
    """Give `count` floats that begin at a cache line, so that no eight lanes lie across two.

    Parameters
    ----------
    count : int
    cleared : bool
        They are zero.
    """
    raw = (np.zeros if cleared else np.empty)(count + _LINE_FLOATS, np.float32)
    skip = -(raw.ctypes.data // raw.itemsize) % _LINE_FLOATS
    return raw[skip : skip + count]


@dataclass
class Message:
    """One pairwise term: its lattice, and what its vertices hold between two iterations.

    Parameters
    ----------
    lattice : Lattice
    weights : float32 [K] or [K, K]
        What agreement earns (`segserve.ops.crf.options.weights_of`).
    """

    lattice: Lattice
    weights: Floats
    width: int = field(init=False)
    values: Floats = field(init=False)
    splatted: Floats = field(init=False)
    moved: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Make room for the values of the vertices."""
        lattice = self.lattice
        labels = len(self.weights)
        self.width = padded(labels)
        self._lags, self._ring = _schedule(lattice)
        self.values = aligned(lattice.rows * self.width)
        self._work = aligned((lattice.rows + self._ring + _kernel().ROWS_OF_A_BLOCK) * self.width)
        self.splatted = self._work[: len(self.values)]
        self._change = np.zeros(lattice.rows, np.float32)
        self.moved = np.zeros(len(lattice.corners), np.float32)
        self._few: tuple[Any, ...] = ()
        gain = np.float32(lattice.gain)
        self._scale = np.full(self.width, gain, np.float32)
        self._matrix = np.empty((0, 0), np.float32)
        if self.weights.ndim == 1:
            self._scale[:labels] *= self.weights
        else:
            self._matrix = np.zeros((self.width, self.width), np.float32)
            self._matrix[:labels, :labels] = self.weights.T

    @property
    def places(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Floats, Floats]:
        """Where the pixels lie."""
        lattice = self.lattice
        return lattice.simplex, lattice.corners, lattice.weights, lattice.norms

    @property
    def state(self) -> tuple[Any, Floats, Floats, Floats]:
        """What `pass_kernel.update` takes."""
        return self.places, self.values, self.moved, self.splatted

    def send(self, computed: Ints | None = None) -> None:
        """Blur the changes that were splatted.

        Parameters
        ----------
        computed : int32 [A], optional
            The pixels that splatted them. Without, all of them did, and none needs to know by how
            much its simplex `moved`, as each is computed next in any case.
        """
        kernel, lattice = _kernel(), self.lattice
        if computed is None or not self._sent_few(computed):
            kernel.send(
                self._work, self._ring, self.width, lattice.pairs, self._lags, self._scale,
                self._matrix.ravel(), self.values, self._change,
            )  # fmt: skip
        if computed is not None:
            kernel.bound(lattice.corners, self._change, self.moved)

    def _sent_few(self, computed: Ints) -> bool:
        """Blur at the vertices that may have changed, if they are few.

        In five dimensions the axes spread a change to most of the vertices.
        """
        lattice = self.lattice
        if len(lattice.pairs) > _FLAT_AXES:
            return False
        if not self._few:
            most = lattice.rows // _few().MOST_OF
            rows, blurred = np.empty(most, np.int32), aligned(most * self.width, cleared=False)
            self._few = (np.zeros(lattice.rows, np.uint8), rows, blurred)
        return bool(
            _few().send_few(
                self.splatted, self.width, lattice.pairs, lattice.simplex, lattice.corners,
                computed, self._scale, self._matrix.ravel(), self.values, self._change, *self._few,
            )
        )  # fmt: skip


def _schedule(lattice: Lattice) -> tuple[npt.NDArray[np.int64], int]:
    """Give when each axis has its turn, and how many rows are kept of what odd axes read.

    An axis reads what the one before it wrote, and writes where that one reads: it must come so
    many blocks later that their neighbours do not overlap. Where the splatted rows are what the
    last axis reads, they are cleared after it at the same distance.
    """
    block, reach = _kernel().ROWS_OF_A_BLOCK, lattice.reach
    apart = -(-np.maximum(reach, np.append(reach[1:], 0)) // block)
    if len(reach) % 2 == 0:
        apart[-1] = 0
    lags = np.append(0, np.cumsum(apart))
    needed = int((reach[1::2] + (lags[1:-1:2] + 2) * block).max())
    rows = min(max(needed, UNUSED_EVERY), lattice.rows)
    return lags, 1 << (rows - 1).bit_length()


def infer(
    logits: Floats,
    bilateral: Message,
    gaussian: Message,
    iterations: int,
    *,
    tolerance: float,
    stop: Callable[[], bool] | None,
) -> Floats:
    """Iterate; gives the beliefs, float32 [N * width].

    Parameters
    ----------
    logits : float32 [N * width]
        Minus the unary terms.
    tolerance : float
        `EXACT`, `LAZY` or another.
    stop : callable, optional
        Asked before each iteration.

    Raises
    ------
    Cancelled
        When `stop` says so.
    """
    kernel = _passes()
    beliefs = aligned(len(logits), cleared=False)
    width = bilateral.width
    groups = groups_of(width)
    limits = np.full(len(logits) // width, -1, np.float32)
    computed = np.empty(len(limits), np.int32)
    active: int | None = None
    ask(stop)
    kernel.begin(
        logits, groups, bilateral.places, gaussian.places, beliefs, bilateral.splatted,
        gaussian.splatted,
    )  # fmt: skip
    for i in range(iterations):
        ask(stop)
        changed = None if active is None else computed[:active]
        bilateral.send(changed)
        gaussian.send(changed)
        active = kernel.update(
            logits, groups, bilateral.state, gaussian.state, beliefs, limits,
            np.float32(tolerance), i == iterations - 1, computed,
        )  # fmt: skip
    return beliefs


def ask(stop: Callable[[], bool] | None) -> None:
    """Raise `Cancelled` when `stop` says so."""
    if stop is not None and stop():
        raise Cancelled("the dense CRF was stopped before its end")
