"""Refining a semantic map by dense CRF: who can, and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.core.messages import Image
from segserve.core.options import OutputSize, Refine, SegmentOptions
from segserve.core.tensor import Tensors
from segserve.families.compatibility import EXPECTED, of_labels, parse_compatibility
from segserve.families.family import Findings, Plan
from segserve.families.parameter_values import ParameterReader, number, whole
from segserve.ops.crf import DenseCrfOptions
from segserve.ops.crf.options import MAX_ITERATIONS, CrfMode

REQUEST_KEYS = (
    "crf_max_ms",
    "crf_mode",
    "crf_iterations",
    "crf_gaussian_sxy",
    "crf_gaussian_compat",
    "crf_bilateral_sxy",
    "crf_bilateral_srgb",
    "crf_bilateral_compat",
)
"""Parameters that a config sets and a request may set otherwise."""

KEYS = ("refine", *REQUEST_KEYS)

_DEFAULT_MAX_MS = 1000.0


@runtime_checkable
class Refines(Protocol):
    """A family whose answer can be refined after the network has run."""

    def refine_budget_s(self, options: SegmentOptions) -> float | None:
        """Give the time a refinement may take, its waiting included; None where none is wanted."""

    def refine_bytes(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> int:
        """Give the working memory that a refinement will need; blocks for a millisecond or so."""

    def refine(
        self,
        image: Image,
        outputs: Tensors,
        plan: Plan,
        options: SegmentOptions,
        *,
        stop: Callable[[], bool],
    ) -> Findings:
        """Do what `Family.postprocess` does, refined; runs on a thread of its own.

        Raises
        ------
        Cancelled
            When `stop` says so.
        """


@dataclass(frozen=True)
class Refinement:
    """Whether and how a model's maps are refined.

    Parameters
    ----------
    wanted : bool
        Where a request does not say.
    max_ms : float
        Waiting included; after that the answer is the unrefined map.
    crf : DenseCrfOptions
    """

    wanted: bool = False
    max_ms: float = _DEFAULT_MAX_MS
    crf: DenseCrfOptions = field(default_factory=DenseCrfOptions)

    def chosen(self, options: SegmentOptions) -> Refinement | None:
        """Give what one request gets, or None where nothing is refined.

        Raises
        ------
        InvalidInput
            On a parameter out of range, or parameters where nothing is refined.
        """
        wanted = self.wanted if options.refine is None else options.refine is Refine.DENSE_CRF
        if not wanted:
            if options.parameters:
                names = ", ".join(sorted(options.parameters))
                raise InvalidInput(f"{names}: nothing is refined, send refine=dense_crf too")
            return None
        if options.output_size is OutputSize.STRIDE:
            raise InvalidInput(
                "refine=dense_crf works on the picture's pixels: leave out output_size=stride"
            )
        if not options.parameters:
            return self
        try:
            return parse_refinement(options.parameters, self)
        except LoadFailed as error:
            raise InvalidInput(error.message.replace("config parameter", "parameter")) from error

    def check_labels(self, labels: int | None) -> None:
        """Check that compatibilities of several labels are of all of the model's.

        Raises
        ------
        InvalidInput
            When they are not; never where nobody has said how many labels there are.
        """
        if labels is not None:
            for compat in (self.crf.gaussian_compat, self.crf.bilateral_compat):
                of_labels(compat, labels)


def parse_refinement(parameters: Mapping[str, str], default: Refinement) -> Refinement:
    """Read `KEYS`.

    Raises
    ------
    LoadFailed
        Naming key, got and expected.
    """
    reader = ParameterReader(parameters)
    usual = default.crf
    names = [refine.value for refine in Refine]
    unsaid = (Refine.DENSE_CRF if default.wanted else Refine.NONE).value
    over_0 = "a number above 0"
    try:
        crf = DenseCrfOptions(
            iterations=reader.read("crf_iterations", _rounds, "1..1000", usual.iterations),
            gaussian_sxy_px=reader.read("crf_gaussian_sxy", number, over_0, usual.gaussian_sxy_px),
            gaussian_compat=reader.read(
                "crf_gaussian_compat", parse_compatibility, EXPECTED, usual.gaussian_compat
            ),
            bilateral_sxy_px=reader.read(
                "crf_bilateral_sxy", number, over_0, usual.bilateral_sxy_px
            ),
            bilateral_srgb=reader.read("crf_bilateral_srgb", number, over_0, usual.bilateral_srgb),
            bilateral_compat=reader.read(
                "crf_bilateral_compat", parse_compatibility, EXPECTED, usual.bilateral_compat
            ),
            mode=reader.choice("crf_mode", [mode.value for mode in CrfMode], usual.mode),
        )
    except InvalidInput as error:
        raise LoadFailed(f"config parameter 'crf_*': {error.message}") from error
    return Refinement(
        wanted=reader.choice("refine", names, unsaid) == Refine.DENSE_CRF.value,
        max_ms=reader.read("crf_max_ms", _positive, over_0, default.max_ms),
        crf=crf,
    )


def _positive(text: str) -> float | None:
    value = number(text)
    return value if value is not None and value > 0 else None


def _rounds(text: str) -> int | None:
    count = whole(text)
    return count if count is not None and count <= MAX_ITERATIONS else None
