"""What agreement of neighbours earns in a dense CRF, written as text: for all, each or pairs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.ops.crf.options import MOST_COMPAT, Compatibility

EXPECTED = (
    f"a number from 0 to {MOST_COMPAT:g}, one for each label (4,4,2), or what each pair of labels "
    f"costs (0,1;1,0), none of them larger than {MOST_COMPAT:g}"
)
_LONGEST_TEXT = 1 << 17  # what each pair of 150 labels costs, in five characters; 5 ms to read


@lru_cache(maxsize=64)
def parse_compatibility(text: str) -> Compatibility | None:
    """Parse a Potts weight, one of each label, or the costs of pairs of labels.

    Parameters
    ----------
    text : str
        ``10``, a weight of 0 or more; ``10,10,3``, a weight per label, of either sign; or rows with
        semicolons between them, pydensecrf's matrix, of which ``-10,0;0,-10`` is the weight 10.

    Returns
    -------
    float, read-only float32 [C] or [C, C], or None
        As `DenseCrfOptions` has them, a vector being the matrix's diagonal; None where the text
        does not read.
    """
    rows = text.split(";") if len(text) <= _LONGEST_TEXT else []
    try:
        given = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    except ValueError:  # a cell that is no number, or rows of several lengths
        return None
    if given.size == 0 or not (np.abs(given) <= MOST_COMPAT).all():
        return None
    if given.size == 1:
        weight = float(text)
        return weight if weight >= 0 else None
    if len(given) == 1:
        return _fixed(-given[0])
    return _fixed(given) if given.shape[0] == given.shape[1] else None


def _fixed(given: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    array = given.astype(np.float32)
    array.flags.writeable = False
    return array


def of_labels(
    compat: Compatibility, labels: int, kept: npt.NDArray[np.int64] | slice = slice(None)
) -> Compatibility:
    """Give the part of a compatibility that is of some labels.

    Parameters
    ----------
    compat : Compatibility
    labels : int
        C, those of the model.
    kept : int64 [K], optional
        All of them by default.

    Raises
    ------
    InvalidInput
        When it is not of C labels.
    """
    if isinstance(compat, float | int):
        return compat
    if compat.shape not in {(labels,), (labels, labels)}:
        given = " x ".join(map(str, compat.shape))
        raise InvalidInput(
            f"a compatibility of the CRF has {given} numbers, expected 1, {labels} or "
            f"{labels} x {labels}: the model has {labels} labels"
        )
    part = compat[kept]
    return part if compat.ndim == 1 else part[:, kept]
