"""The permutohedral lattice of an image: where pixels lie, and which vertices are neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput

_KEY_LIMIT = 1 << 62
_CACHED_GAUSSIANS = 4
_CACHED_PIXELS, _CACHED_SXY_PX = 1 << 20, 1.0  # 30 to 60 MB; those of narrower ones are larger
_LANES = 8
_FIRST_BITS = 16
"""Of the tables that find simplices and vertices."""
UNUSED_EVERY = 4096
"""Rows whose number is a multiple stay zero, so that rows can share their place with row 0."""

Image8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Embedding:
    """How features are placed: a pixel's features over `sigmas`, on the lattice's plane, by key.

    Parameters
    ----------
    sigmas : tuple of float32
        x, y and, in five dimensions, three colours.
    factors : tuple of float32
    strides : tuple of int
        Of a vertex's key: the key is the sum of coordinate times stride.
    """

    sigmas: tuple[np.float32, ...]
    factors: tuple[np.float32, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Lattice:
    """A lattice with M vertices for N pixels, in d dimensions, normalised symmetrically.

    Parameters
    ----------
    embedding : Embedding
    simplex : int32 [N]
        Row of `corners` for each pixel.
    corners : int32 [S, d+1]
        Vertices of each simplex, by their rows.
    weights : float32 [N, d+1]
        Barycentric, times the pixel's norm.
    norms : float32 [N]
        1 / sqrt(the filtered image of ones).
    pairs : int32 [d+1, rows, 2]
        The two neighbours of each vertex along each axis; 0 where there is none.
    reach : int64 [d+1]
        How many rows lie between neighbours at most.
    gain : float
        What the blurred values are multiplied with: 1 / (1 + 2^-d).
    ones : float32 [rows]
        The blurred splat of an image of ones.
    keys : int64 [M]
        Of the vertices in order of first touch; `numbers` gives their rows.
    table : int32
        Finds a vertex by its key; 2^bits places.
    """

    embedding: Embedding
    simplex: Ints
    corners: Ints
    weights: Floats
    norms: Floats
    pairs: npt.NDArray[np.int32]
    reach: npt.NDArray[np.int64]
    gain: float
    ones: Floats
    keys: npt.NDArray[np.int64]
    numbers: Ints
    table: Ints
    bits: int

    @property
    def rows(self) -> int:
        """One more than the highest row of a vertex: M, row 0 and those that stay unused."""
        return len(self.ones)


def _kernel() -> Any:
    from segserve.ops.crf import lattice_kernel  # noqa: PLC0415  numba opens late

    return lattice_kernel


def _places_kernel() -> Any:
    from segserve.ops.crf import places_kernel  # noqa: PLC0415  numba opens late

    return places_kernel


def embedding_for(sigmas: tuple[float, ...], reach: tuple[float, ...]) -> Embedding:
    """Find factors and key strides.

    Parameters
    ----------
    sigmas : tuple of d floats
    reach : tuple of d floats
        Largest value of each feature before it is divided by its sigma; the smallest is 0.

    Raises
    ------
    InvalidInput
        When the sigmas are so small that the lattice cannot be numbered.
    """
    d = len(sigmas)
    deviation = np.float32(sqrt(2.0 / 3.0) * (d + 1))
    factors = tuple(np.float32(1.0 / sqrt((i + 2) * (i + 1)) * float(deviation)) for i in range(d))
    spans = [r / s * float(f) for r, s, f in zip(reach, sigmas, factors, strict=True)]
    widths = [sum(spans[i:]) + (i * spans[i - 1] if i else 0.0) for i in range(d)]
    sizes = [int(width) + 6 * (d + 1) for width in widths]
    if prod(sizes) > _KEY_LIMIT:
        raise InvalidInput(
            f"the standard deviations {tuple(round(s, 6) for s in sigmas)} are too small for this "
            "image: use larger ones (below 0.1 grey levels or pixels nothing is smoothed)"
        )
    strides, stride = [], 1
    for size in sizes:
        strides.append(stride)
        stride *= size
    return Embedding(tuple(np.float32(s) for s in sigmas), factors, tuple(strides))


def bilateral_lattice(image: Image8, sxy_px: float, srgb: float, *, step_px: int = 1) -> Lattice:
    """Place pixels by position and colour.

    Parameters
    ----------
    image : uint8 [H, W, 3], C-contiguous
    sxy_px, srgb : float
        Standard deviations.
    step_px : int
        Every how many pixels, in both axes.

    Raises
    ------
    InvalidInput
        When the standard deviations are too small.
    """
    height, width = image.shape[:2]
    sigmas = (sxy_px, sxy_px, srgb, srgb, srgb)
    reach = (width - 1.0, height - 1.0, 255.0, 255.0, 255.0)
    return _build(image, embedding_for(sigmas, reach), step_px, by_key=True)


def gaussian_lattice(height: int, width: int, sxy_px: float, step_px: int = 1) -> Lattice:
    """Place pixels by position alone; the last few of images of up to a megapixel are kept.

    Raises
    ------
    InvalidInput
        When the standard deviation is too small.
    """
    if height * width <= _CACHED_PIXELS and sxy_px >= _CACHED_SXY_PX:
        return _kept_gaussian_lattice(height, width, sxy_px, step_px)
    return _gaussian_lattice(height, width, sxy_px, step_px)


def _gaussian_lattice(height: int, width: int, sxy_px: float, step_px: int) -> Lattice:
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    embedding = embedding_for((sxy_px, sxy_px), (width - 1.0, height - 1.0))
    return _build(np.ascontiguousarray(image), embedding, step_px, by_key=False)


_kept_gaussian_lattice = lru_cache(maxsize=_CACHED_GAUSSIANS)(_gaussian_lattice)


def _embed(
    image: Image8, step_px: int, embedding: Embedding, places: tuple[Ints, Floats, Ints]
) -> tuple[int, npt.NDArray[np.int64], Ints, int]:
    """Fill the pixels' places; gives the count of simplices, the vertices' keys, table and bits.

    The tables are doubled when they are half full.
    """
    kernel, looking_up = _kernel(), _places_kernel()
    axes = len(embedding.sigmas) + 1
    scratch = (
        *np.zeros((5, axes * _LANES), np.float32), np.zeros(_LANES, np.float32),
        *np.zeros((2, _LANES), np.int64), np.zeros(axes, np.int64),
    )  # fmt: skip
    parts = (embedding.sigmas, embedding.factors, embedding.strides)
    bits, vertex_bits = _FIRST_BITS, _FIRST_BITS
    known, keys = np.empty(1 << bits, np.int64), np.empty(1 << (vertex_bits - 1), np.int64)
    seen = looking_up.simplex_table(known, 0, bits)
    table = looking_up.vertex_table(keys, 0, vertex_bits)
    counts, reached = np.zeros(2, np.int64), 0
    while True:
        room = np.array([len(known) // 2, len(keys)])
        reached = kernel.embed(
            reached, image, step_px, parts, room, scratch, (known, seen, bits),
            (keys, table, vertex_bits), counts, places,
        )  # fmt: skip
        if reached == len(places[0]):
            return int(counts[0]), keys[: counts[1]], table, vertex_bits
        if counts[0] + _LANES > room[0]:
            bits += 1
            known = np.append(known, np.empty_like(known))
            seen = looking_up.simplex_table(known, counts[0], bits)
        if counts[1] + _LANES * axes > room[1]:
            vertex_bits += 1
            keys = np.append(keys, np.empty_like(keys))
            table = looking_up.vertex_table(keys, counts[1], vertex_bits)


def _build(image: Image8, embedding: Embedding, step_px: int, *, by_key: bool) -> Lattice:
    kernel = _kernel()
    axes = len(embedding.sigmas) + 1
    count = -(-image.shape[0] // step_px) * -(-image.shape[1] // step_px)
    simplex = np.empty(count, np.int32)
    weights = np.empty((count, axes), np.float32)
    corners = np.empty((count, axes), np.int32)
    simplices, keys, table, bits = _embed(
        image, step_px, embedding, (simplex, weights.reshape(-1), corners)
    )
    order = np.argsort(keys)
    rows = np.arange(len(keys), dtype=np.int32)
    rows += rows // (UNUSED_EVERY - 1) + 1
    numbers = rows
    if by_key:
        numbers = np.empty_like(rows)
        numbers[order] = rows
    corners = corners[:simplices].copy()
    kernel.renumber(corners, numbers)
    strides = np.array(embedding.strides, np.int64)
    deltas = np.append((axes * strides) - strides.sum(), -strides.sum())
    pairs = np.zeros((axes, rows[-1] + 1, 2), np.int32)
    reach = np.empty(axes, np.int64)
    kernel.neighbour(keys[order], numbers[order], deltas, pairs, reach)
    gain = 1 / (1 + 2.0 ** (1 - axes))
    norms = np.empty(count, np.float32)
    ones = kernel.normalise(simplex, corners, weights, pairs, np.float32(gain), norms)
    return Lattice(
        embedding, simplex, corners, weights, norms, pairs, reach, gain, ones, keys, numbers,
        table, bits,
    )  # fmt: skip
