"""One empty kernel for each group: it is in the cache once the group's kernels are."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

from segserve.ops.kernel_cache import njit


@njit()
def images():
    """Of what resizes."""
    return 0


@njit()
def label_maps():
    """Of what makes label maps."""
    return 0


@njit()
def masks():
    """Of what makes objects' masks."""
    return 0


@njit()
def classical():
    """Of the segmenters without weights."""
    return 0


@njit()
def outlines():
    """Of what makes outlines and parts of masks."""
    return 0


@njit()
def crf():
    """Of dense CRF."""
    return 0
