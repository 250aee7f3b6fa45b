"""The same segmenters by well-kept libraries: OpenCV and scikit-image, extra ``classical``.

They cannot be interrupted and some hold the GIL, so the server runs them in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from segserve.core.errors import LoadFailed
from segserve.core.tensor import Array
from segserve.ops.classical import graph_cut as own_graph_cut
from segserve.ops.classical import mean_shift as own_mean_shift
from segserve.ops.classical import random_walker as own_random_walker
from segserve.ops.classical.segmentation import (
    Labels,
    Prompts,
    check_image,
    consecutive,
    is_constant,
)

OWN = "own"
"""Value of the config parameter ``implementation`` for a segmenter of ours."""
_Function = Callable[[Array, Any, Prompts], Labels]


def implementation_of(parameters: Mapping[str, str]) -> str:
    """Give what a config's parameters say runs the segmenter: `OWN`, or a library's name."""
    return parameters.get("implementation", "").strip() or OWN


@dataclass(frozen=True)
class Library:
    """A segmenter of a library.

    Parameters
    ----------
    name : str
        Value of the config parameter ``implementation``.
    module : str
        What is imported.
    run : callable
        ``run(image, options, prompts)``, for images that are not constant; gives labels.
    """

    name: str
    module: str
    run: _Function


def _opencv() -> Any:
    """Open OpenCV, kept to the one core that the server has counted for it."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    return cv2


def _mean_shift_opencv(image: Array, options: Any, prompts: Prompts) -> Labels:  # noqa: ARG001  as the others
    """OpenCV's filter on 8-bit L*u*v*, then the same merging of neighbours as ours."""
    cv2 = _opencv()
    luv = cv2.cvtColor(image, cv2.COLOR_RGB2Luv)
    ends = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, options.iterations, 1)
    shifted = cv2.pyrMeanShiftFiltering(luv, options.spatial_px, options.colour, None, 0, ends)
    modes = np.zeros((*image.shape[:2], 5), np.float32)
    modes[..., :3] = shifted
    return own_mean_shift.merged(modes, options)


def _graph_cut_opencv(image: Array, options: Any, prompts: Prompts) -> Labels:
    cv2 = _opencv()
    cv2.setRNGSeed(options.seed)
    mask, sure_object, sure_ground = own_graph_cut.first_mask(
        image, prompts, options.seed_radius_px
    )
    marks = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[sure_object], marks[sure_ground] = cv2.GC_FGD, cv2.GC_BGD
    likely = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if likely.all() or not likely.any():
        return np.zeros(marks.shape, np.int32)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, marks, None, *models, options.iterations, cv2.GC_INIT_WITH_MASK)
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found.astype(np.int32) if not found.all() else np.zeros(marks.shape, np.int32)


def _slic_scikit(image: Array, options: Any, prompts: Prompts) -> Labels:  # noqa: ARG001  as the others
    labels = import_module("skimage.segmentation").slic(
        image,
        n_segments=options.segments,
        compactness=options.compactness,
        max_num_iter=options.iterations,
        sigma=options.sigma_px,
        start_label=0,
    )
    return consecutive(labels)


def _felzenszwalb_scikit(image: Array, options: Any, prompts: Prompts) -> Labels:  # noqa: ARG001  as the others
    labels = import_module("skimage.segmentation").felzenszwalb(
        image, scale=options.scale, sigma=options.sigma_px, min_size=options.min_size_px
    )
    return consecutive(labels)


def _random_walker_scikit(image: Array, options: Any, prompts: Prompts) -> Labels:
    known = own_random_walker.known_labels(image, prompts, options.seed_radius_px) + 1
    if known.max() <= 1 or known.min() > 0:
        return consecutive(known)
    labels = import_module("skimage.segmentation").random_walker(
        image / 255,
        known,
        beta=options.beta,
        mode="cg_j",
        tol=options.tolerance,
        channel_axis=-1,
        prob_tol=1,
    )
    return consecutive(labels)


_OPENCV, _SCIKIT = ("opencv", "cv2"), ("scikit-image", "skimage")
LIBRARIES: Mapping[str, Library] = {
    "mean_shift": Library(*_OPENCV, _mean_shift_opencv),
    "graph_cut": Library(*_OPENCV, _graph_cut_opencv),
    "slic": Library(*_SCIKIT, _slic_scikit),
    "felzenszwalb": Library(*_SCIKIT, _felzenszwalb_scikit),
    "random_walker": Library(*_SCIKIT, _random_walker_scikit),
}
"""By the segmenter's name."""


def find_library(segmenter: str, implementation: str) -> Library | None:
    """Give the library that a config asks for; None for our own code.

    Raises
    ------
    LoadFailed
        When there is no such implementation, or its library is not installed.
    """
    library = LIBRARIES.get(segmenter)
    if implementation == OWN:
        return None
    if library is None or library.name != implementation:
        known = [OWN] if library is None else [OWN, library.name]
        raise LoadFailed(
            f"config parameter 'implementation' of {segmenter}: got '{implementation}', expected "
            f"{' | '.join(known)}"
        )
    if find_spec(library.module) is None:
        raise LoadFailed(
            f"config parameter 'implementation' is '{implementation}', whose library is not "
            f"installed: pip install 'segserve[classical]', or write '{OWN}'"
        )
    return library


def segment_by_library(name: str, image: Array, options: Any, prompts: Prompts) -> Labels:
    """Segment an image by a library.

    Parameters
    ----------
    name : str
        Of the segmenter; one of `LIBRARIES`.

    Returns
    -------
    labels : int32 [H, W]

    Raises
    ------
    InvalidInput
        When the image or a prompt is wrong.
    """
    image = check_image(image)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    return LIBRARIES[name].run(image, options, prompts)
