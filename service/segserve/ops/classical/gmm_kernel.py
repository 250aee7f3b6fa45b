"""Compiled loops of EM for Gaussian mixtures; arguments are trusted (`segserve.ops.classical.gmm`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit

BLOCK = 512
LOG2_E = np.float32(1.4426950408889634)
# 2**f on [-0.5, 0.5] by Taylor's series: ln(2)**n / n!
C1, C2, C3 = (
    np.float32(0.6931471805599453),
    np.float32(0.2402265069591007),
    np.float32(0.05550410866482158),
)
C4, C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
LOWEST = np.float32(-87.0)


@njit("void(float32[::1], int32[::1], int64)")
def _exp(values, scratch, size):
    """Replace values from -87 to 0 by their exponentials, to about 1e-6 of each."""
    for p in range(size):
        t = max(values[p], LOWEST) * LOG2_E
        whole = np.floor(t + np.float32(0.5))
        f = t - whole
        values[p] = np.float32(1) + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * C5))))
        scratch[p] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    powers = scratch.view(np.float32)
    for p in range(size):
        values[p] *= powers[p]


@njit(
    "float64(float32[:, ::1], float32[:, ::1], float32[:, :, ::1], float32[::1], float64[::1], float64[:, ::1], float64[:, :, ::1], int32[::1])"
)
def step(features, means, whitening, offsets, weights, sums, products, labels):
    """Take one E step and add up what the M step needs; gives the log likelihood.

    `whitening[k]` is lower triangular, W W^T the inverse covariance transposed so that |W^T d|^2 is
    the squared Mahalanobis distance; `offsets[k]` all that does not depend on the point.
    """
    dims, points = features.shape
    clusters = means.shape[0]
    logs = np.empty((clusters, BLOCK), np.float32)
    centred = np.empty((dims, BLOCK), np.float32)
    line = np.empty(BLOCK, np.float32)
    top = np.empty(BLOCK, np.float32)
    total = np.empty(BLOCK, np.float32)
    scratch = np.empty(BLOCK, np.int32)
    weights[:] = 0
    sums[:] = 0
    products[:] = 0
    likelihood = 0.0
    for begin in range(0, points, BLOCK):
        size = min(BLOCK, points - begin)
        top[:] = -np.inf
        for k in range(clusters):
            row = logs[k]
            row[:] = offsets[k]
            for i in range(dims):
                mean = means[k, i]
                for p in range(size):
                    centred[i, p] = features[i, begin + p] - mean
            for i in range(dims):
                line[:] = 0
                for j in range(i, dims):
                    factor = whitening[k, j, i]
                    for p in range(size):
                        line[p] += factor * centred[j, p]
                for p in range(size):
                    row[p] -= np.float32(0.5) * line[p] * line[p]
            for p in range(size):
                better = row[p] > top[p]
                labels[begin + p] = np.int32(k) if better else labels[begin + p]
                top[p] = row[p] if better else top[p]
        total[:] = 0
        for k in range(clusters):
            row = logs[k]
            for p in range(size):
                row[p] -= top[p]
            _exp(row, scratch, size)
            for p in range(size):
                total[p] += row[p]
        for p in range(size):
            likelihood += top[p] + np.log(total[p])
            total[p] = np.float32(1) / total[p]
        for k in range(clusters):
            row = logs[k]
            for p in range(size):
                row[p] *= total[p]
            weight = np.float32(0)
            for p in range(size):
                weight += row[p]
            weights[k] += weight
            for i in range(dims):
                for p in range(size):
                    line[p] = row[p] * features[i, begin + p]
                part = 0.0
                for p in range(size):
                    part += line[p]
                sums[k, i] += part
                for j in range(i + 1):
                    part = 0.0
                    for p in range(size):
                        part += line[p] * features[j, begin + p]
                    products[k, i, j] += part
    return likelihood
