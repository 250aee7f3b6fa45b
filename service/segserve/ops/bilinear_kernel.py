"""Compiled sums of bilinear interpolation, rounded as torch rounds them (see `segserve.ops.bilinear`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; a pixel has four neighbours and two shares
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from segserve.ops.kernel_cache import njit

ONE = np.float32(1)
ONE_BITS = np.int32(0x3F800000)
INFINITE_BITS = np.int32(0x7F800000)
MAGNITUDE_BITS = np.int32(0x7FFFFFFF)


@intrinsic
def fma(typingctx, a, b, c):  # noqa: ARG001  the signature numba calls
    """Give a * b + c with one rounding, in float32: torch's CPU kernels are compiled so."""

    def generate(context, builder, signature, args):  # noqa: ARG001  likewise
        single = ir.FloatType()
        kind = ir.FunctionType(single, [single, single, single])
        return builder.call(builder.module.declare_intrinsic("llvm.fma", [single], kind), args)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit()
def interpolated(order, a, b, c, d, right, down):
    """Interpolate between upper left, upper right, lower left, lower right, as torch sums.

    `order` is 0 for torch's ``interpolate``, 1 for ``grid_sample``, 2 and 3 for ``interpolate`` to
    small outputs, in lanes and one by one.
    """
    left = ONE - right
    up = ONE - down
    if order == 0:
        return fma(fma(a, left, b * right), up, fma(c, left, d * right) * down)
    if order == 1:
        return fma(d, down * right, fma(c, down * left, fma(b, up * right, a * (up * left))))
    if order == 2:
        lower = fma(d, down * right, c * (down * left))
        return fma(a, up * left, fma(b, up * right, lower))
    return fma(d, down * right, fma(c, down * left, fma(a, up * left, b * (up * right))))


@njit()
def largest_magnitude(mask):
    """Give the largest magnitude in a plane, at least 1; NaN when any sample is not finite.

    Compared as integers, which order magnitudes as floats do, and are compared many at a time.
    """
    bits = mask.view(np.int32)
    top = np.empty(1, dtype=np.int32)
    top[0] = ONE_BITS
    for j in range(bits.shape[0]):
        largest = ONE_BITS
        for i in range(bits.shape[1]):
            largest = max(largest, bits[j, i] & MAGNITUDE_BITS)
        top[0] = max(top[0], largest)
    if top[0] >= INFINITE_BITS:
        return np.float32(np.nan)
    return top.view(np.float32)[0]
