"""What a family is: the CPU half of a model, before and after the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from segserve.core.label_map import LabelMap
from segserve.core.messages import Image
from segserve.core.options import SegmentOptions
from segserve.core.regions import Regions
from segserve.core.tensor import Array, Tensors
from segserve.ops.warm import KernelGroup


@dataclass(frozen=True)
class Plan:
    """What an image's header tells before anything is decoded.

    Parameters
    ----------
    source_width_px, source_height_px : int
        Of the upright picture, after EXIF orientation.
    inputs_shapes : Mapping
        Shape of each network input for this image, without the batch axis.
    bucket : tuple of int
        Images with equal buckets can run in one batch.
    decoded_bytes : int
        Memory the decoded picture takes.
    padding_ratio : float in [0, 1)
        Share of the network's input that is padding.
    context : object
        Whatever the family needs again in `preprocess` and `postprocess`.
    inputs_dtypes : Mapping
        Datatype of each network input that is not float32.
    """

    source_width_px: int
    source_height_px: int
    inputs_shapes: Mapping[str, tuple[int, ...]]
    bucket: tuple[int, ...]
    decoded_bytes: int
    padding_ratio: float
    context: object
    inputs_dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """What was found in one image.

    Parameters
    ----------
    label_map : LabelMap or None
    regions : Regions or None
    refined : bool or None
        None when no refinement was asked for.
    """

    label_map: LabelMap | None = None
    regions: Regions | None = None
    refined: bool | None = None


@runtime_checkable
class TakesParameters(Protocol):
    """A family whose models have options of their own, set by a request's parameters."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters, prompts that can be written as text included."""
        ...


class Family(Protocol):
    """Plans, prepares and interprets; holds no state, so any thread may call it."""

    @property
    def image_input(self) -> str:
        """Name of the network's image input."""

    @property
    def kernels(self) -> frozenset[KernelGroup]:
        """The compiled kernels that it may call."""

    @property
    def warm_shapes(self) -> tuple[tuple[int, int], ...]:
        """Network sizes (height, width) to run before the model is ready."""

    def plan(self, image: Image, options: SegmentOptions) -> Plan:
        """Read the header and check the options; microseconds, safe on the event loop.

        Raises
        ------
        InvalidInput, TooLarge, Unsupported
            When the image or the options cannot be served.
        """

    def preprocess(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode, resize and normalise straight into `out`; runs on a CPU thread.

        Parameters
        ----------
        out : Mapping of str to float32 array
            One writable row for each of ``plan.inputs_shapes``; all of it is written.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """

    def postprocess(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> Findings:
        """Turn this image's rows of the network's outputs into findings; runs on a CPU thread.

        Parameters
        ----------
        outputs : Tensors
            Without the batch axis.
        """

    def describe(self) -> Mapping[str, object]:
        """Tell, in values that JSON has, what images and options this model takes."""
