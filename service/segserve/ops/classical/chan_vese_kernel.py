"""Compiled passes of morphological Chan-Vese; arguments are trusted.

They are those of `segserve.ops.classical.chan_vese`. A mask is uint64 [H, ceil(W / 64)], bit n % 64
of word n // 64 for column n; bits after the last column are 0.
"""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from segserve.ops.kernel_cache import njit

ONE, LAST, ALL = np.uint64(1), np.uint64(63), np.uint64(0xFFFFFFFFFFFFFFFF)


@njit("void(uint64[:, ::1], uint8[:, ::1], int8[::1], uint64[:, ::1])")
def attach(mask, grey, wanted, out):
    """Set border pixels of a mask to what their grey level wants: 1, 0, or (-1) what they are.

    A border pixel is one whose neighbours to both sides, or above and below, differ; out of the
    picture a pixel is its own neighbour.
    """
    height, words = mask.shape
    edge = np.uint64((grey.shape[1] - 1) & 63)
    inside = ALL >> (LAST - edge)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for w in range(words):
            here = mask[y, w]
            carry = mask[y, w - 1] >> LAST if w > 0 else here & ONE
            left = (here << ONE) | carry
            if w + 1 < words:
                right = (here >> ONE) | (mask[y, w + 1] << LAST)
                border = (left ^ right) | (mask[above, w] ^ mask[below, w])
            else:
                right = (here >> ONE) | (here & (ONE << edge))
                border = ((left ^ right) | (mask[above, w] ^ mask[below, w])) & inside
            while border != 0:
                bit = border & (~border + ONE)
                border ^= bit
                want = wanted[grey[y, w * 64 + np.int64(trailing_zeros(bit))]]
                if want == 1:
                    here |= bit
                elif want == 0:
                    here &= ~bit
            out[y, w] = here


@njit("void(uint64[:, ::1], int64, boolean, uint64[:, ::1])")
def smooth(mask, width, grows, out):
    """Dilate by each of four lines and take what all have; or erode, and take what any has.

    The lines are the three pixels to both sides, above and below, and along both diagonals; out of
    the picture nothing is set.
    """
    height, words = mask.shape
    inside = ALL >> np.uint64(63 - ((width - 1) & 63))
    around = np.zeros((3, 3), np.uint64)
    for y in range(height):
        for w in range(words):
            for row in range(3):
                before = here = after = np.uint64(0)
                if 0 <= y + row - 1 < height:
                    here = mask[y + row - 1, w]
                    if w > 0:
                        before = mask[y + row - 1, w - 1]
                    if w + 1 < words:
                        after = mask[y + row - 1, w + 1]
                around[row, 0] = (here << ONE) | (before >> LAST)
                around[row, 1] = here
                around[row, 2] = (here >> ONE) | (after << LAST)
            if grows:
                both = (around[0, 0] | around[2, 2]) & (around[0, 2] | around[2, 0])
                both &= (around[0, 1] | around[2, 1]) & (around[1, 0] | around[1, 2])
                here = around[1, 1] | both
            else:
                any_line = (around[0, 0] & around[2, 2]) | (around[0, 2] & around[2, 0])
                any_line |= (around[0, 1] & around[2, 1]) | (around[1, 0] & around[1, 2])
                here = around[1, 1] & any_line
            out[y, w] = here & inside if w + 1 == words else here


@njit("void(uint64[:, ::1], uint64[:, ::1], uint8[:, ::1], int64[::1])")
def tally(before, after, grey, inside):
    """Keep up the count and the sum of the grey levels inside."""
    for y in range(before.shape[0]):
        for w in range(before.shape[1]):
            differs = before[y, w] ^ after[y, w]
            while differs != 0:
                bit = differs & (~differs + ONE)
                differs ^= bit
                level = np.int64(grey[y, w * 64 + np.int64(trailing_zeros(bit))])
                sign = 1 if after[y, w] & bit else -1
                inside[0] += sign
                inside[1] += sign * level
