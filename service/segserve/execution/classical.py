"""Segmenters without weights as a backend: uint8 pixels in, a label map out.

The model file, ``classical.json``, says which one: ``{"segmenter": "kmeans"}``. Options and prompts
are optional inputs; what a request leaves out is as the config's parameters say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segserve.core.errors import Cancelled, DeadlineExceeded, InvalidInput, LoadFailed
from segserve.core.tensor import Array, DataType, Tensors, TensorSpec
from segserve.execution.backend import GraphSpecs, Stop, never
from segserve.execution.classical_worker import FUNCTION, IMAGE
from segserve.execution.worker_frames import Frame
from segserve.execution.worker_process import WorkerProcess
from segserve.ops.classical.catalogue import Segmenter, segmenter_named
from segserve.ops.classical.libraries import OWN, find_library
from segserve.ops.classical.options import OptionKind, OptionSpec, with_values
from segserve.ops.classical.segmentation import Prompts, Segmentation
from segserve.ops.classical.warm import WARM_PIXELS, warm_segmenter

MODEL_FILENAME = "classical.json"
_PROMPT_DIMS = {"box": (4,), "seeds": (-1, 3), "contour": (-1, 2)}
_OUTPUT_SPECS = {
    "labels": (DataType.INT32, (-1, -1)),
    "contour": (DataType.FP32, (-1, 2)),
    "boxes": (DataType.FP32, (-1, 4)),
    "scores": (DataType.FP32, (-1,)),
    "members": (DataType.BOOL, (-1, -1)),
}
_RANK = 4

Segment = Callable[[Array, Any, Prompts, Stop], Segmentation]


@dataclass(frozen=True)
class ClassicalOptions:
    """How a segmenter is run.

    Parameters
    ----------
    defaults : Mapping of str to str
        The config's parameters; those that are options of the segmenter are read.
    budget_s : float
        Time that one image may take.
    implementation : str
        ``own``, or the name of a library, which then runs in a worker process.
    worker_bytes : int
        Address space that such a process may use; 0 for no limit.
    """

    defaults: Mapping[str, str]
    budget_s: float
    implementation: str = OWN
    worker_bytes: int = 0


def read_segmenter(model_file: Path) -> Segmenter:
    """Read which segmenter a model file names.

    Raises
    ------
    LoadFailed
        When the file cannot be read, or names none that there is.
    """
    try:
        content = json.loads(model_file.read_text())
    except (OSError, ValueError) as error:
        raise LoadFailed(f"{model_file}: cannot be read as JSON: {error}") from None
    name = content.get("segmenter") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise LoadFailed(f'{model_file}: expected {{"segmenter": "<name>"}}, got {content!r}')
    return segmenter_named(name)


def inspect_classical(model_file: Path) -> GraphSpecs:
    """Give the inputs and outputs of a segmenter; all but the image are optional.

    Raises
    ------
    LoadFailed
        When the file names no segmenter.
    """
    return _specs(read_segmenter(model_file))


def _specs(segmenter: Segmenter) -> GraphSpecs:
    inputs = [TensorSpec(IMAGE, DataType.UINT8, (-1, -1, -1, 3))]
    for name in segmenter.prompts:
        dims = (-1, *_PROMPT_DIMS[name])
        inputs.append(TensorSpec(name, DataType.FP32, dims, optional=True))
    inputs += [
        TensorSpec(one.name, option_dtype(one), (-1, 1), optional=True) for one in segmenter.specs
    ]
    outputs = []
    for name in segmenter.outputs:
        dtype, rest = _OUTPUT_SPECS[name]
        outputs.append(TensorSpec(name, dtype, (-1, *rest)))
    return GraphSpecs(tuple(inputs), tuple(outputs))


def option_dtype(spec: OptionSpec) -> DataType:
    """Give the datatype of an option's tensor: a word travels as its index."""
    return DataType.FP32 if spec.kind is OptionKind.REAL else DataType.INT32


class ClassicalBackend:
    """A segmenter as a `Backend`.

    Several threads may run our own code; a library has a process, and one caller at a time.

    Parameters
    ----------
    model_file : Path
    options : ClassicalOptions

    Raises
    ------
    LoadFailed
        When the file names no segmenter, a default is out of its bounds, or a library is missing.
    """

    device = "cpu"
    widens = False
    providers: tuple[str, ...] = ("segserve",)

    def __init__(self, model_file: Path, options: ClassicalOptions) -> None:
        self._segmenter = read_segmenter(model_file)
        self._budget_s = options.budget_s
        library = find_library(self._segmenter.name, options.implementation)
        self.reentrant = library is None
        self.specs = _specs(self._segmenter)
        try:
            given = self._segmenter.read_options(options.defaults)
        except InvalidInput as error:
            raise LoadFailed(f"config parameters: {error.message}") from None
        self._defaults = with_values(self._segmenter.options(), given)
        self._worker: WorkerProcess | None = None
        if library is None:
            warm_segmenter(self._segmenter.name)
        else:
            first = self._asked(WARM_PIXELS, self._defaults, Prompts())
            self._worker = WorkerProcess(FUNCTION, options.worker_bytes, first)

    def run(
        self,
        inputs: Tensors,
        *,
        wide: bool,  # noqa: ARG002  one image, one core
        stop: Stop = never,
    ) -> Tensors:
        """Segment one image, and ask `stop` between two rounds. See `Backend.run`.

        Raises
        ------
        Cancelled
            When `stop` said that nobody waits any more.
        InvalidInput
            When an option or a prompt is out of its bounds, or there is more than one image.
        DeadlineExceeded
            When the image needs more time than the model's budget.
        """
        images = inputs[IMAGE]
        if images.ndim != _RANK or len(images) != 1:
            raise InvalidInput(f"expected one image [1, H, W, 3], got {list(images.shape)}")
        row = {name: array[0] for name, array in inputs.items()}
        options = with_values(self._defaults, self._values(row))
        prompts = Prompts(**{name: row[name] for name in self._segmenter.prompts if name in row})
        if self._worker is not None:
            asked = self._asked(row[IMAGE], options, prompts)
            return {"labels": self._worker.call(asked, self._budget_s, stop).arrays["labels"][None]}
        found = self._timed(row[IMAGE], options, prompts, stop)
        return {name: getattr(found, name)[None] for name in self._segmenter.outputs}

    def _values(self, row: Tensors) -> dict[str, int | float | str]:
        specs = self._segmenter.specs
        return {s.name: s.from_number(float(row[s.name][0])) for s in specs if s.name in row}

    def _asked(self, image: Array, options: Any, prompts: Prompts) -> Frame:
        """Give what a worker process is asked."""
        values = {spec.name: getattr(options, spec.name) for spec in self._segmenter.specs}
        arrays = {IMAGE: image, **{name: getattr(prompts, name) for name in prompts.given}}
        return Frame({"segmenter": self._segmenter.name, "options": values}, arrays)

    def _timed(self, image: Array, options: Any, prompts: Prompts, stop: Stop) -> Segmentation:
        end_s = time.monotonic() + self._budget_s

        def is_over() -> bool:
            return time.monotonic() > end_s or stop()

        try:
            return self._segmenter.segment(image, options, prompts, is_over)
        except Cancelled:
            if time.monotonic() > end_s:
                raise self._too_slow(image) from None
            raise

    def _too_slow(self, image: Array) -> DeadlineExceeded:
        height, width = image.shape[:2]
        return DeadlineExceeded(
            f"{self._segmenter.name} did not end within its budget of {self._budget_s:g} s on "
            f"{width} x {height} pixels: send a smaller image, lower its options, or raise the "
            f"config parameter 'budget_ms'"
        )

    def settle(self, inputs: Tensors) -> None:
        """Do nothing: no memory is kept between runs."""

    def close(self) -> None:
        """End the worker process, if there is one."""
        if self._worker is not None:
            self._worker.close()
