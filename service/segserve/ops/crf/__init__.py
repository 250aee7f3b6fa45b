"""Dense CRF: refine a labelling by position and colour."""

from segserve.ops.crf.dense import dense_crf
from segserve.ops.crf.options import DenseCrfOptions

__all__ = ["DenseCrfOptions", "dense_crf"]
