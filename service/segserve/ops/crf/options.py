"""Options of the dense CRF."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput

Compatibility = float | npt.NDArray[np.float32]
MAX_ITERATIONS = 1000
LEAST_SIGMA, MOST_SIGMA = 1e-3, 1e6
MOST_COMPAT = 1e6
"""Beyond these nothing changes any more but the rounding of float32."""


class CrfMode(Enum):
    """How much is computed."""

    EXACT = "exact"
    """Every class; pixels whose beliefs cannot have moved by a millionth are left alone."""
    LAZY = "lazy"
    """As exact, but for a thousandth, and without the classes that are below 1 % everywhere."""
    FAST = "fast"
    """As lazy, on every second pixel of both axes; the rest only where it is in doubt."""


@dataclass(frozen=True)
class DenseCrfOptions:
    """Options of `segserve.ops.crf.dense_crf`; the defaults are DeepLab's.

    Parameters
    ----------
    iterations : int in 0..1000
    gaussian_sxy_px : float in 0.001..1e6
        Standard deviation of the smoothness term.
    gaussian_compat : float, float32 [C] or float32 [C, C]
        None of it larger than a million, either way.
        A float is a Potts weight: what neighbours gain by having the same label. A matrix holds the
        cost of each pair of labels, made symmetric; a vector is the matrix's diagonal, so that a
        Potts weight w is the vector -w. All three as in pydensecrf.
    bilateral_sxy_px, bilateral_srgb : float in 0.001..1e6
        Standard deviations of the appearance term, in pixels and in grey levels.
    bilateral_compat : float, float32 [C] or float32 [C, C]
    mode : str
        ``exact``, ``lazy`` or ``fast`` (`CrfMode`).

    Raises
    ------
    InvalidInput
        On a value out of range.
    """

    iterations: int = 10
    gaussian_sxy_px: float = 3.0
    gaussian_compat: Compatibility = 3.0
    bilateral_sxy_px: float = 80.0
    bilateral_srgb: float = 13.0
    bilateral_compat: Compatibility = 10.0
    mode: str = "lazy"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        whole = isinstance(self.iterations, int | np.integer)
        if not (whole and 0 <= self.iterations <= MAX_ITERATIONS):
            raise InvalidInput(
                f"iterations must be a whole number in 0..{MAX_ITERATIONS}, got {self.iterations}"
            )
        for name in ("gaussian_sxy_px", "bilateral_sxy_px", "bilateral_srgb"):
            value = getattr(self, name)
            if not LEAST_SIGMA <= value <= MOST_SIGMA:
                raise InvalidInput(
                    f"{name} must be in {LEAST_SIGMA:g}..{MOST_SIGMA:g}, got {value}"
                )
        for name in ("gaussian_compat", "bilateral_compat"):
            if not (np.abs(getattr(self, name)) <= MOST_COMPAT).all():
                raise InvalidInput(
                    f"{name} must be finite, and none of it larger than {MOST_COMPAT:g}"
                )
        if self.mode not in {mode.value for mode in CrfMode}:
            names = ", ".join(mode.value for mode in CrfMode)
            raise InvalidInput(f"mode must be one of {names}, got '{self.mode}'")


def weights_of(
    compat: Compatibility, labels: int, kept: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Give what agreement earns: float32 [K] for each kept label, or [K, K] for each pair.

    Parameters
    ----------
    compat : Compatibility
    labels : int
        C.
    kept : int64 [K]

    Raises
    ------
    InvalidInput
        When the shape is not that of C labels.
    """
    given = np.asarray(compat, dtype=np.float32)
    if given.shape not in {(), (labels,), (labels, labels)}:
        raise InvalidInput(
            f"a compatibility must be a number, [{labels}] or [{labels}, {labels}], got "
            f"{list(given.shape)}"
        )
    if given.ndim == 0:
        return np.full(len(kept), given, np.float32)
    if given.ndim == 1:
        return -given[kept]
    return -((given + given.T) / np.float32(2))[np.ix_(kept, kept)]
