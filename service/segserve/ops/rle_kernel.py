"""Compiled loops of COCO's run-length text; arguments are trusted (see `segserve.ops.rle`)."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_TEXT = types.Array(types.uint8, 1, "C", readonly=True)
_LONGS = types.int64[::1]

MAX_CHARS = 8


@njit()
def _chars_of(value):
    """How many characters COCO spends on one number."""
    chars = 1
    bit = value & 0x10
    value >>= 5
    while value != (-1 if bit else 0):
        chars += 1
        bit = value & 0x10
        value >>= 5
    return chars


@njit()
def _write_number(value, text, place):
    """Write one number in COCO's 5-bit characters; gives the next free place."""
    while True:
        char = value & 0x1F
        value >>= 5
        more = value != -1 if char & 0x10 else value != 0
        if more:
            char |= 0x20
        text[place] = np.uint8(char + 48)
        place += 1
        if not more:
            return place


@njit(
    [(_LONGS, v[::1], types.int64, _LONGS, _LONGS) for v in (types.uint8, types.uint16)],
)
def label_counts(starts, values, total, slots, runs):
    """Uncompressed COCO counts of several labels in one sweep over the runs.

    Parameters
    ----------
    starts, values, total
        What `find_runs` gave, and H * W.
    slots : int64 [S]
        For each value the row it is encoded into, or -1.
    runs : int64 [rows]
        Runs of each row's label.

    Returns
    -------
    counts : int64 [...]
        Row r's counts are ``counts[offsets[r]:ends[r]]``.
    offsets, ends : int64 [rows]
    """
    rows = runs.shape[0]
    offsets = np.empty(rows, dtype=np.int64)
    ends = np.empty(rows, dtype=np.int64)
    done = np.zeros(rows, dtype=np.int64)
    size = 0
    for r in range(rows):
        offsets[r] = size
        ends[r] = size
        size += 2 * runs[r] + 1
    counts = np.empty(size, dtype=np.int64)
    for i in range(starts.shape[0]):
        r = slots[values[i]]
        if r >= 0:
            end = starts[i + 1] if i + 1 < starts.shape[0] else total
            counts[ends[r]] = starts[i] - done[r]
            counts[ends[r] + 1] = end - starts[i]
            ends[r] += 2
            done[r] = end
    for r in range(rows):
        if done[r] < total or ends[r] == offsets[r]:
            counts[ends[r]] = total - done[r]
            ends[r] += 1
    return counts, offsets, ends


@njit([(_LONGS, _LONGS, _LONGS)])
def compress(counts, offsets, ends):
    """COCO's compressed characters of several rows of counts, one after the other.

    Returns
    -------
    text : uint8 [...]
    bounds : int64 [rows + 1]
        Row r is ``text[bounds[r]:bounds[r + 1]]``.
    """
    rows = offsets.shape[0]
    bounds = np.zeros(rows + 1, dtype=np.int64)
    size = 0
    for r in range(rows):
        for i in range(offsets[r], ends[r]):
            value = counts[i]
            if i - offsets[r] > 2:
                value -= counts[i - 2]
            size += _chars_of(value)
        bounds[r + 1] = size
    text = np.empty(size, dtype=np.uint8)
    place = 0
    for r in range(rows):
        for i in range(offsets[r], ends[r]):
            value = counts[i]
            if i - offsets[r] > 2:
                value -= counts[i - 2]
            place = _write_number(value, text, place)
    return text, bounds


@njit([(_LONGS, _LONGS, types.int64)])
def compress_edges(edges, splits, total):
    """COCO's compressed characters of several masks whose runs are known by their edges.

    Parameters
    ----------
    edges : int64 [...]
        Column-major positions, rising within a mask; runs begin at its even ones and end at its
        odd ones, an even number of them; all at most `total`.
    splits : int64 [rows + 1]
        Mask r's edges are ``edges[splits[r]:splits[r + 1]]``.
    total : int
        H * W.

    Returns
    -------
    text : uint8 [...]
    bounds : int64 [rows + 1]
        Row r is ``text[bounds[r]:bounds[r + 1]]``.
    """
    rows = splits.shape[0] - 1
    bounds = np.zeros(rows + 1, dtype=np.int64)
    text = np.empty((edges.shape[0] + rows) * MAX_CHARS, dtype=np.uint8)
    place = 0
    for r in range(rows):
        begin = splits[r]
        end = splits[r + 1]
        last = 0
        second = 0
        third = 0
        for i in range(begin, end):
            count = edges[i] - last
            last = edges[i]
            value = count - third if i - begin > 2 else count
            place = _write_number(value, text, place)
            third = second
            second = count
        if last < total or begin == end:
            value = total - last - third if end - begin > 2 else total - last
            place = _write_number(value, text, place)
        bounds[r + 1] = place
    return text[:place], bounds


BAD_CHARACTER = -1
BAD_NUMBER = -2
CUT_OFF = -3


@njit([(_TEXT, types.int64, _LONGS)])
def expand(text, total, counts):
    """Parse COCO's characters into `counts` (int64, as long as `text`).

    Returns
    -------
    parsed : int
        How many counts there are, or BAD_CHARACTER, BAD_NUMBER (negative, too long, or over
        `total`) or CUT_OFF (the last number does not end).
    covered : int
        Their sum.
    """
    place = 0
    parsed = 0
    covered = 0
    while place < text.shape[0]:
        value = 0
        chars = 0
        while True:
            if place >= text.shape[0]:
                return CUT_OFF, covered
            char = np.int64(text[place]) - 48
            if char < 0 or char > 63:
                return BAD_CHARACTER, covered
            if chars >= MAX_CHARS:
                return BAD_NUMBER, covered
            value |= (char & 0x1F) << (5 * chars)
            place += 1
            chars += 1
            if not char & 0x20:
                if char & 0x10:
                    value -= np.int64(1) << (5 * chars)
                break
        if parsed > 2:
            value += counts[parsed - 2]
        covered += value
        if value < 0 or covered > total:
            return BAD_NUMBER, covered
        counts[parsed] = value
        parsed += 1
    return parsed, covered


@njit([(_LONGS, types.uint8[::1])])
def fill_mask(counts, mask):
    """Set the pixels of every second run in `mask` (uint8 [H * W], column order, zeros)."""
    place = 0
    for i in range(counts.shape[0]):
        end = place + counts[i]
        if i % 2 == 1:
            mask[place:end] = 1
        place = end


@njit(
    types.Tuple((types.int64[::1], types.int64[::1], types.int64))(_TEXT, _LONGS, _LONGS),
)
def expand_edges(text, bounds, totals):
    """Parse several masks' characters into the beginnings and ends of their runs.

    Parameters
    ----------
    text : uint8 [...]
    bounds : int64 [N + 1]
        Mask n's characters are ``text[bounds[n]:bounds[n + 1]]``.
    totals : int64 [N]
        H * W of each.

    Returns
    -------
    edges : int64 [...]
    splits : int64 [N + 1]
    wrong : int
        The first mask whose characters cannot be parsed, or -1.
    """
    masks = totals.shape[0]
    edges = np.empty(text.shape[0], dtype=np.int64)
    splits = np.zeros(masks + 1, dtype=np.int64)
    n = 0
    for mask in range(masks):
        counts = edges[n:]
        parsed, covered = expand(text[bounds[mask] : bounds[mask + 1]], totals[mask], counts)
        if parsed < 0 or covered != totals[mask]:
            return edges, splits, mask
        place = 0
        for i in range(parsed):
            place += counts[i]
            counts[i] = place
        n += parsed - (parsed & 1)
        splits[mask + 1] = n
    return edges[:n], splits, -1
