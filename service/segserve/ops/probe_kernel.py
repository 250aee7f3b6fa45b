"""One empty kernel for each group: it is in the cache once the group's kernels are."""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

from segserve.ops.kernel_cache import njit


@njit()
def runs():
    """Of what makes and reads runs."""
    return 0


@njit()
def sets():
    """Of what combines runs and takes parts of them."""
    return 0


@njit()
def crf():
    """Of dense CRF."""
    return 0


@njit()
def polygons():
    """Of what fills polygons."""
    return 0


@njit()
def masks():
    """Of what makes objects' masks."""
    return 0


@njit()
def label_maps():
    """Of what makes label maps."""
    return 0


@njit()
def outlines():
    """Of what makes outlines and parts of masks."""
    return 0


@njit()
def images():
    """Of what resizes."""
    return 0


@njit()
def kmeans():
    """Of the segmenter `kmeans`."""
    return 0


@njit()
def slic():
    """Of the segmenter `slic`."""
    return 0


@njit()
def gmm():
    """Of the segmenter `gmm`."""
    return 0


@njit()
def felzenszwalb():
    """Of the segmenter `felzenszwalb`."""
    return 0


@njit()
def snake():
    """Of the segmenter `snake`."""
    return 0


@njit()
def graph_cut():
    """Of the segmenter `graph_cut`."""
    return 0


@njit()
def selective_search():
    """Of the segmenter `selective_search`."""
    return 0


@njit()
def mean_shift():
    """Of the segmenter `mean_shift`."""
    return 0


@njit()
def chan_vese():
    """Of the segmenter `chan_vese`."""
    return 0


@njit()
def random_walker():
    """Of the segmenter `random_walker`."""
    return 0


@njit()
def texton():
    """Of the segmenter `texton`."""
    return 0


@njit()
def normalized_cut():
    """Of the segmenter `normalized_cut`."""
    return 0
