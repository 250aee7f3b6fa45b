"""Compiled loops of EM for Gaussian mixtures; arguments are trusted (`segserve.ops.classical.gmm`).

Sums run in float32 over `SPAN` points, eight of them side by side, and in float64 from there on.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.classical.points_kernel import (
    POINTS,
    add,
    any_above,
    div,
    exp2,
    exponent,
    fma,
    if_less,
    load,
    mantissa,
    mul,
    shared,
    smaller,
    spread,
    store,
    store_whole,
    sub,
)
from segserve.ops.classical.sums_kernel import LANES, add_rows, add_sums, seven_sums, ten_sums
from segserve.ops.kernel_cache import njit

BLOCK = 7 * POINTS
SPAN = 8 * BLOCK
_NEGLIGIBLE = np.float32(1e-12)
"""Share of a point that is taken for none."""
_NEVER = np.float32(1e30)
"""The cost of a Gaussian without a share."""
_FLAT = 1e-9
"""Least variance across what is taken as flat; only rounding makes one so small."""
_FROM_EXP = np.sqrt(0.5 / np.log(2))
"""From exp(-d d / 2) to 2**(-d d)."""
_COST, _EXPONENTS, _PRODUCT = 0, POINTS, 2 * POINTS
"""Where a tally of the likelihood holds the least costs, and the densities' sum over the largest
as a product of mantissas and a sum of exponents (so that there is one logarithm for a span)."""
_COLOUR, _COLOUR_AND_PLACE = (0,) * 3, (0,) * 5
"""Dimensions whose loops are straight code, since a tuple's length is known when a kernel is
compiled; for others an array of as many elements stands for it."""


@njit("void(float32[::1], int64, int64, int64, int64, float32[::1])")
def _fill(planes, stride, begin, size, dims, rows):
    """Write what moments are the sums of, after the row of ones: for plane a, x_a, x_a x_0 to x_a x_a."""
    for g in range(0, size, POINTS):
        row = BLOCK + g
        for a in range(dims):
            value = load(planes, a * stride + begin + g)
            store(rows, row, value)
            row += BLOCK
            for b in range(a + 1):
                store(rows, row, mul(value, load(planes, b * stride + begin + g)))
                row += BLOCK


@njit()
def _costs(rows, model, clusters, dims, shares, size):
    """Give -log2 of each Gaussian's share of the density at a point, and after these the least."""
    for g in range(0, size, POINTS):
        least = spread(np.float32(np.inf))
        at = 0
        for k in range(clusters):
            cost = shared(model, at)
            at += 1
            for i in range(len(dims)):
                white = shared(model, at)
                at += 1
                for j in range(i, len(dims)):
                    place = (j + 1) * (j + 2) // 2 * BLOCK + g
                    white = fma(shared(model, at), load(rows, place), white)
                    at += 1
                cost = fma(white, white, cost)
            store(shares, k * BLOCK + g, cost)
            least = smaller(cost, least)
        store(shares, clusters * BLOCK + g, least)


@njit("void(float32[::1], int64, int32[::1], int64, int64)")
def _choose(costs, clusters, labels, begin, size):
    """Fill in the Gaussian of the least cost, the lower one of equals."""
    for g in range(0, size, POINTS):
        least, found = load(costs, clusters * BLOCK + g), spread(np.float32(clusters))
        for k in range(clusters - 1, -1, -1):
            found = if_less(least, load(costs, k * BLOCK + g), found, spread(np.float32(k)))
        store_whole(labels, begin + g, found)


@njit("void(float32[::1], int64, int64, float32[::1], float32[::1])")
def _normalise(shares, clusters, size, rows, tally):
    """Turn points' costs into shares, and the least ones into what makes these add up to 1."""
    one = spread(np.float32(1))
    for g in range(0, size, POINTS):
        least = load(shares, clusters * BLOCK + g)
        whole = spread(np.float32(0))
        for k in range(clusters):
            power = exp2(sub(least, load(shares, k * BLOCK + g)))
            whole = add(whole, power)
            store(shares, k * BLOCK + g, power)
        store(shares, clusters * BLOCK + g, div(one, whole))
        counts = load(rows, g)
        store(tally, _COST, fma(counts, least, load(tally, _COST)))
        product = mul(load(tally, _PRODUCT), fma(counts, sub(whole, one), one))
        store(tally, _EXPONENTS, add(load(tally, _EXPONENTS), exponent(product)))
        store(tally, _PRODUCT, mantissa(product))


@njit()
def _gather(rows, shares, clusters, size, running, none, together):
    """Add the rows of a block, weighted by the points' shares, to the Gaussians' running moments."""
    factors = clusters * BLOCK
    at = 0
    chunks = running.shape[0] // (clusters * together * LANES)
    for k in range(clusters):
        for chunk in range(chunks):
            sums = none
            for g in range(0, size, POINTS):
                share = mul(load(shares, k * BLOCK + g), load(shares, factors + g))
                if any_above(share, _NEGLIGIBLE):
                    sums = add_rows(sums, share, rows, chunk * together * BLOCK + g, BLOCK)
            add_sums(running, at, sums)
            at += together * LANES


def moments_of(dims):
    """Give the moments of a Gaussian, with as few empty ones as make whole sevens or tens."""
    moments = (dims + 1) * (dims + 2) // 2
    return min(-(-moments // 7) * 7, -(-moments // 10) * 10)


@njit("float64(float32[::1], float64[::1], float32[::1])")
def _settle(running, moments, tally):
    """Add running sums to the moments, begin them anew, and give the log2 likelihood."""
    for m in range(moments.shape[0]):
        for lane in range(m * LANES, (m + 1) * LANES):
            moments[m] += np.float64(running[lane])
            running[lane] = 0
    likelihood = 0.0
    for p in range(POINTS):
        likelihood += np.float64(tally[_EXPONENTS + p]) - np.float64(tally[_COST + p])
        likelihood += np.log2(np.float64(tally[_PRODUCT + p]))
        tally[_COST + p] = tally[_EXPONENTS + p] = np.float32(0)
        tally[_PRODUCT + p] = np.float32(1)
    return likelihood


@njit(
    "float64(float32[::1], int64, float32[::1], int64, int64[::1], int32[::1], float64[::1], boolean)"
)
def step(planes, count, model, clusters, dims, labels, moments, only_labels):
    """Take one E step and add up what the M step needs; gives the log2 likelihood.

    Or, with `only_labels`, fill in the likeliest Gaussian of each point, and nothing else.

    `dims` has as many elements as there are dimensions. `planes` are `count` points' coordinates,
    with zeros up to a multiple of 32 points, as many as there are labels. `model` holds for every
    Gaussian -log2 of what does not depend on the point, then for every dimension i an offset and
    the factors of the dimensions from i on: the squares of what they give add up to -log2 of the
    rest. `moments`, which are added to, are `moments_of` the dimensions for every Gaussian: sums of
    1, then those of `_fill`.
    """
    running = np.zeros(moments.shape[0] * LANES, np.float32)
    tally = np.zeros(3 * POINTS, np.float32)
    store(tally, _PRODUCT, spread(np.float32(1)))
    rows = np.zeros(moments.shape[0] // clusters * BLOCK, np.float32)
    shares = np.empty((clusters + 1) * BLOCK, np.float32)
    stride = labels.shape[0]
    likelihood = 0.0
    for begin in range(0, stride, BLOCK):
        size = min(BLOCK, stride - begin)
        for p in range(BLOCK):
            rows[p] = np.float32(begin + p < count)
        _fill(planes, stride, begin, size, len(dims), rows)
        if len(dims) == len(_COLOUR):
            _costs(rows, model, clusters, _COLOUR, shares, size)
        elif len(dims) == len(_COLOUR_AND_PLACE):
            _costs(rows, model, clusters, _COLOUR_AND_PLACE, shares, size)
        else:
            _costs(rows, model, clusters, dims, shares, size)
        if only_labels:
            _choose(shares, clusters, labels, begin, size)
            continue
        _normalise(shares, clusters, size, rows, tally)
        if moments.shape[0] // clusters % 10 == 0:
            _gather(rows, shares, clusters, size, running, ten_sums(), 10)
        else:
            _gather(rows, shares, clusters, size, running, seven_sums(), 7)
        if (begin + BLOCK) % SPAN == 0 or begin + BLOCK >= stride:
            likelihood += _settle(running, moments, tally)
    return likelihood


@njit(
    "void(float64[:, ::1], float64, float64[::1], float64[:, ::1], float64[:, :, ::1], float32[::1])"
)
def refit(moments, floor, shares, means, covariances, model):
    """Take an M step from what `step` has added up, and write the model down as `step` reads it.

    A Gaussian that has lost its points stays as it was; `floor` is added to every variance. A
    covariance is U U' with U upper triangular, and inverse(U) d has the length of d in its terms.
    """
    clusters, dims = means.shape
    whole = moments[:, 0].sum()
    at = 0
    upper, inverse = np.zeros((dims, dims)), np.zeros((dims, dims))
    for k in range(clusters):
        weight, place = moments[k, 0], 1
        shares[k] = weight / whole
        for i in range(dims if weight > dims else 0):
            means[k, i] = moments[k, place] / weight
            place += 1
            for j in range(i + 1):
                second = moments[k, place] / weight - means[k, i] * means[k, j]
                covariances[k, i, j] = covariances[k, j, i] = second
                place += 1
            covariances[k, i, i] += floor
        bits = np.log2(shares[k]) - 0.5 * dims * np.log2(2 * np.pi)
        for j in range(dims - 1, -1, -1):
            for i in range(j, -1, -1):
                rest = covariances[k, i, j]
                for m in range(j + 1, dims):
                    rest -= upper[i, m] * upper[j, m]
                upper[i, j] = np.sqrt(max(rest, _FLAT)) if i == j else rest / upper[j, j]
            bits -= np.log2(upper[j, j])
        for i in range(dims):
            inverse[i, i] = 1 / upper[i, i]
            for j in range(i + 1, dims):
                inverse[i, j] = 0
                for m in range(i, j):
                    inverse[i, j] -= inverse[i, m] * upper[m, j] / upper[j, j]
        model[at] = -bits if shares[k] > 0 else _NEVER
        at += 1
        for i in range(dims):
            offset = 0.0
            for j in range(i, dims):
                offset -= inverse[i, j] * means[k, j]
            model[at] = offset * _FROM_EXP
            for j in range(i, dims):
                model[at + 1 + j - i] = inverse[i, j] * _FROM_EXP
            at += 1 + dims - i
