"""Every classical segmenter by name: its options, its prompts, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.core.tensor import Array
from segserve.ops.classical.chan_vese import ChanVeseOptions, chan_vese
from segserve.ops.classical.felzenszwalb import FelzenszwalbOptions, felzenszwalb
from segserve.ops.classical.gmm import GmmOptions, gmm
from segserve.ops.classical.graph_cut import GraphCutOptions, graph_cut
from segserve.ops.classical.kmeans import KMeansOptions, kmeans
from segserve.ops.classical.mean_shift import MeanShiftOptions, mean_shift
from segserve.ops.classical.normalized_cut import NormalizedCutOptions, normalized_cut
from segserve.ops.classical.options import OptionSpec, specs_of
from segserve.ops.classical.random_walker import RandomWalkerOptions, random_walker
from segserve.ops.classical.segmentation import (
    NO_PROMPTS,
    Labels,
    Prompts,
    Segmentation,
    Stop,
    never,
)
from segserve.ops.classical.selective_search import SelectiveSearchOptions, selective_search
from segserve.ops.classical.slic import SlicOptions, slic
from segserve.ops.classical.snake import SnakeOptions, snake
from segserve.ops.classical.texton import TextonOptions, texton

Run = Callable[[Array, Any, Prompts, Stop], Segmentation]


@dataclass(frozen=True)
class Segmenter:
    """One method.

    Parameters
    ----------
    name : str
        That of its model in ``model_repository/``.
    options : type
        A frozen dataclass of declared fields; its defaults are the method's.
    run : callable
        ``run(image, options, prompts, stop)``; a pure function.
    prompts : tuple of str
        Which fields of `Prompts` it looks at.
    outputs : tuple of str
        Which fields of `Segmentation` it fills.
    """

    name: str
    options: type
    run: Run
    prompts: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("labels",)

    @property
    def specs(self) -> tuple[OptionSpec, ...]:
        """Its options, in their order."""
        return specs_of(self.options)

    def segment(
        self, image: Array, options: Any, prompts: Prompts = NO_PROMPTS, stop: Stop = never
    ) -> Segmentation:
        """Segment one image.

        Raises
        ------
        InvalidInput
            When the image, an option or a prompt is wrong.
        Cancelled
            When `stop` says so.
        """
        for name in prompts.given:
            if name not in self.prompts:
                takes = ", ".join(self.prompts) or "no prompts"
                raise InvalidInput(f"prompt '{name}' cannot be used: {self.name} takes {takes}")
        return self.run(image, options, prompts, stop)

    def read_options(self, texts: Mapping[str, str]) -> dict[str, int | float | str]:
        """Read options as they stand in a config or a request; keys of others are left alone.

        Raises
        ------
        InvalidInput
            Naming the option, got and expected.
        """
        return {s.name: s.from_text(texts[s.name]) for s in self.specs if s.name in texts}


def _cut(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:
    return Segmentation(graph_cut(image, options, prompts, stop=stop))


def _walk(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:
    return Segmentation(random_walker(image, options, prompts, stop=stop))


def _part(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:
    return Segmentation(chan_vese(image, options, prompts, stop=stop))


def _draw(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:
    return snake(image, options, prompts, stop=stop)


def _propose(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:  # noqa: ARG001  as the others
    return selective_search(image, options, stop=stop)


def _plain(function: Callable[..., Labels]) -> Run:
    """Adapt a function that takes no prompts and gives labels alone."""

    def run(image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:  # noqa: ARG001  as the others
        return Segmentation(function(image, options, stop=stop))

    return run


SEGMENTERS: Mapping[str, Segmenter] = {
    one.name: one
    for one in (
        Segmenter("kmeans", KMeansOptions, _plain(kmeans)),
        Segmenter("gmm", GmmOptions, _plain(gmm)),
        Segmenter("texton", TextonOptions, _plain(texton)),
        Segmenter("mean_shift", MeanShiftOptions, _plain(mean_shift)),
        Segmenter("normalized_cut", NormalizedCutOptions, _plain(normalized_cut)),
        Segmenter("graph_cut", GraphCutOptions, _cut, prompts=("box", "seeds")),
        Segmenter("slic", SlicOptions, _plain(slic)),
        Segmenter("felzenszwalb", FelzenszwalbOptions, _plain(felzenszwalb)),
        Segmenter("random_walker", RandomWalkerOptions, _walk, prompts=("seeds",)),
        Segmenter("chan_vese", ChanVeseOptions, _part, prompts=("box",)),
        Segmenter(
            "snake", SnakeOptions, _draw, prompts=("box", "contour"), outputs=("labels", "contour")
        ),
        Segmenter(
            "selective_search",
            SelectiveSearchOptions,
            _propose,
            outputs=("labels", "boxes", "scores", "members"),
        ),
    )
}


def segmenter_named(name: str) -> Segmenter:
    """Find a segmenter.

    Raises
    ------
    LoadFailed
        Naming the ones there are.
    """
    if name not in SEGMENTERS:
        raise LoadFailed(
            f"config parameter 'segmenter': got '{name}', expected one of {', '.join(SEGMENTERS)}"
        )
    return SEGMENTERS[name]
