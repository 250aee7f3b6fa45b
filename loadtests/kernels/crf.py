"""The dense CRF against pydensecrf, on a photograph with the beliefs of a confident network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.kernels import libraries
from loadtests.kernels.case import KernelCase
from segserve.ops.crf import DenseCrfOptions, dense_crf
from segserve.ops.crf.unary import unary_from_logits

PHOTOGRAPH = Path(__file__).parents[2] / "docs/images/coffee.jpg"
HEIGHT, WIDTH, LABELS, PRESENT = 375, 500, 21, 5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Terms:
    """Standard deviations and weights, under the name they are known by."""

    name: str
    gaussian_sxy_px: float
    bilateral_sxy_px: float
    bilateral_srgb: float
    bilateral_compat: float
    exact_goal: float
    lazy_goal: float


TERMS = (
    _Terms("80/13/10", 3, 80, 13, 10, 4, 11),
    _Terms("49/5/4", 3, 49, 5, 4, 2.5, 6.5),
    _Terms("67/3/4", 1, 67, 3, 4, 2.5, 6.5),
)
FAST_GOAL = 15.0


def cases() -> Sequence[KernelCase]:
    """Give every mode with three sets of terms, 21 labels, 10 iterations; and two labels."""
    image = _photograph()
    unary, two = _unary(image, LABELS), _unary(image, 2)
    made = []
    for terms in TERMS:
        goals = {"exact": terms.exact_goal, "lazy": terms.lazy_goal, "fast": FAST_GOAL}
        made += [_case(image, unary, terms, mode, goal) for mode, goal in goals.items()]
    made += [_case(image, two, TERMS[0], mode, goal) for mode, goal in (("exact", 2), ("lazy", 3))]
    return made


def _photograph() -> npt.NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415  opens late

    with Image.open(PHOTOGRAPH) as picture:
        return np.array(picture.convert("RGB").resize((WIDTH, HEIGHT)))


def _unary(image: npt.NDArray[np.uint8], labels: int) -> Floats:
    """Give unary terms as of a network with stride 8: smooth, and sure but for the borders."""
    from PIL import Image  # noqa: PLC0415  opens late

    rng = np.random.default_rng(0)
    small = (WIDTH // 8 + 1, HEIGHT // 8 + 1)
    bilinear = Image.Resampling.BILINEAR
    grey = np.asarray(Image.fromarray(image).convert("L").resize((16, 12), bilinear))
    grey = np.asarray(Image.fromarray(grey).resize(small, bilinear), dtype=np.float32)
    present = min(labels, PRESENT)
    area = np.digitize(grey, np.quantile(grey, np.linspace(0, 1, present + 1)[1:-1]))
    logits = rng.normal(-4, 0.3, (labels, *grey.shape)).astype(np.float32)
    for number, label in enumerate(rng.permutation(labels)[:present]):
        logits[label] += 2 + 8 * (area == number)
    planes = [Image.fromarray(plane).resize((WIDTH, HEIGHT), bilinear) for plane in logits]
    return unary_from_logits(np.stack([np.asarray(plane) for plane in planes]))


def _case(
    image: npt.NDArray[np.uint8], unary: Floats, terms: _Terms, mode: str, goal: float
) -> KernelCase:
    options = DenseCrfOptions(
        gaussian_sxy_px=terms.gaussian_sxy_px,
        bilateral_sxy_px=terms.bilateral_sxy_px,
        bilateral_srgb=terms.bilateral_srgb,
        bilateral_compat=terms.bilateral_compat,
        mode=mode,
    )
    (library,), skipped = libraries.needs("pydensecrf.densecrf")

    def baseline() -> Floats:
        model = library.DenseCRF2D(WIDTH, HEIGHT, len(unary))
        model.setUnaryEnergy(unary.reshape(len(unary), -1))
        model.addPairwiseGaussian(sxy=terms.gaussian_sxy_px, compat=options.gaussian_compat)
        model.addPairwiseBilateral(
            sxy=terms.bilateral_sxy_px,
            srgb=terms.bilateral_srgb,
            rgbim=image,
            compat=terms.bilateral_compat,
        )
        return np.array(model.inference(options.iterations)).reshape(unary.shape)

    name = f"dense CRF {mode}, {len(unary)} labels {WIDTH}x{HEIGHT}, {terms.name}"
    ours = partial(dense_crf, image, unary, options)
    return KernelCase(name, goal, None if skipped else baseline, ours, _agreement, skipped)


def _agreement(theirs: Any, ours: Any) -> str:
    same = float(np.mean(theirs.argmax(axis=0) == ours.argmax(axis=0)))
    apart = float(np.abs(theirs - ours).mean())
    return f"{100 * same:.3f} % of the labels, mean |dQ| {apart:.1e}"
