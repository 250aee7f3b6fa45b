"""Refining a semantic map by dense CRF: its options, and from logits to refined labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed, InvalidInput, LoadFailed
from segserve.core.messages import Image
from segserve.core.options import OutputSize, Refine, SegmentOptions
from segserve.core.tensor import Array, Tensors
from segserve.families.family import Findings, Plan
from segserve.families.parameter_values import ParameterReader, number, whole
from segserve.ops.argmax import LabelArray, NetworkGrid, valid_count
from segserve.ops.crf import DenseCrfOptions, dense_crf
from segserve.ops.crf.options import MAX_ITERATIONS, MOST_COMPAT, CrfMode
from segserve.ops.crf.unary import unary_from_logits

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

BYTES_PER_PIXEL = 256
"""Working memory of a refinement of up to eight labels."""

_BYTES_PER_LABEL = 20

_DEFAULT_MAX_MS = 1000.0
_MAX_LABELS_U8 = 256
_LIKELY = 0.01
_RULED_OUT = -1e30


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
    over_0, any_0 = "a number above 0", f"a number from 0 to {MOST_COMPAT:g}"
    try:
        crf = DenseCrfOptions(
            iterations=reader.read("crf_iterations", _rounds, "1..1000", usual.iterations),
            gaussian_sxy_px=reader.read("crf_gaussian_sxy", number, over_0, usual.gaussian_sxy_px),
            gaussian_compat=reader.read(
                "crf_gaussian_compat", _weight, any_0, float(usual.gaussian_compat)
            ),
            bilateral_sxy_px=reader.read(
                "crf_bilateral_sxy", number, over_0, usual.bilateral_sxy_px
            ),
            bilateral_srgb=reader.read("crf_bilateral_srgb", number, over_0, usual.bilateral_srgb),
            bilateral_compat=reader.read(
                "crf_bilateral_compat", _weight, any_0, float(usual.bilateral_compat)
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


def _weight(text: str) -> float | None:
    zero = text.strip("0.") == "" and "0" in text and text.count(".") <= 1
    return 0.0 if zero else _positive(text)


def refine_bytes_per_pixel(logits: Array, grid: NetworkGrid) -> int:
    """Give the working memory that `refined_labels` needs for each pixel of the map.

    Measured: 230 bytes for up to 8 labels that are likely anywhere, 490 for 21, 2800 for 150.

    Raises
    ------
    BackendFailed
        When the logits are not finite.
    """
    beyond = max(0, len(_kept(logits, grid)) - 8)
    return BYTES_PER_PIXEL + _BYTES_PER_LABEL * (beyond + -beyond % 8)


def refined_labels(
    logits: Array,
    pixels: Array,
    grid: NetworkGrid,
    options: DenseCrfOptions,
    *,
    align_corners: bool,
    stop: Callable[[], bool],
) -> LabelArray:
    """Interpolate the logits of labels that are likely anywhere, and refine them.

    Parameters
    ----------
    logits : float [C, h, w]
    pixels : uint8 [H, W, 3]
    grid : NetworkGrid
        Where the picture lies in the network's input.
    align_corners : bool
        Of the up-sampling.

    Returns
    -------
    labels : uint8 [H, W], uint16 above 256 classes

    Raises
    ------
    BackendFailed
        When the logits are not finite.
    InvalidInput
        When a standard deviation is too small for the picture.
    Cancelled
        When `stop` says so.
    """
    kept = _kept(logits, grid)
    height, width = pixels.shape[:2]
    # labels that the model rules out at some pixels are -inf there, which has no difference
    planes = np.maximum(logits[kept].astype(np.float32, copy=False), np.float32(_RULED_OUT))
    sides = (
        (planes.shape[1], grid.height_px, grid.valid_height_px, height),
        (planes.shape[2], grid.width_px, grid.valid_width_px, width),
    )
    for axis, side in enumerate(sides, 1):
        low, share = _positions(*side, align_corners=align_corners)
        planes = _between(planes, axis, low, share)
    q = dense_crf(pixels, unary_from_logits(planes), options, stop=stop)
    dtype = np.uint8 if len(logits) <= _MAX_LABELS_U8 else np.uint16
    labels: LabelArray = kept.astype(dtype)[q.argmax(axis=0)]
    return labels


def _kept(logits: Array, grid: NetworkGrid) -> npt.NDArray[np.int64]:
    try:
        return _likely(logits, grid)
    except InvalidInput as error:
        raise BackendFailed(f"the model's logits cannot be refined: {error.message}") from error


def _likely(logits: Array, grid: NetworkGrid) -> npt.NDArray[np.int64]:
    """Find the labels that are at least 1 % likely at any logit that the picture covers.

    Of more than a hundred labels none may be: then it is one by their number, which one always is.
    """
    rows = valid_count(logits.shape[1], grid.height_px, grid.valid_height_px)
    columns = valid_count(logits.shape[2], grid.width_px, grid.valid_width_px)
    unary = unary_from_logits(logits[:, :rows, :columns])
    least = min(_LIKELY, 0.999 / len(logits))
    return np.flatnonzero(unary.min(axis=(1, 2)) <= -np.log(least))


def _positions(
    size: int, network_px: int, valid_px: int, out_px: int, *, align_corners: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give the lower logit of each output pixel and the share of the next one."""
    network = (np.arange(out_px) + 0.5) * (valid_px / out_px) - 0.5
    if align_corners:
        source = network * ((size - 1) / max(network_px - 1, 1))
    else:
        source = (network + 0.5) * (size / network_px) - 0.5
    source = np.clip(source, 0, valid_count(size, network_px, valid_px) - 1)
    low = source.astype(np.int64)
    return low, (source - low).astype(np.float32)


def _between(
    planes: npt.NDArray[np.float32],
    axis: int,
    low: npt.NDArray[np.int64],
    share: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    high = np.minimum(low + 1, planes.shape[axis] - 1)
    below: npt.NDArray[np.float32] = planes.take(low, axis=axis)
    step: npt.NDArray[np.float32] = planes.take(high, axis=axis)
    step -= below
    step *= share[:, None] if axis == 1 else share
    step += below
    return step
