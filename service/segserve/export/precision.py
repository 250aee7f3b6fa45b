"""An exported graph in half precision, or with 8-bit weights and activations.

Tensors at the borders stay float32, so that the model's configuration and the server stay as they
are. Half precision is for accelerators; a CPU computes it in float32 again. 8 bits are for CPUs:
QDQ (ONNX's pairs of QuantizeLinear and DequantizeLinear), activations uint8 with one scale a
tensor, weights int8 with one a channel.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from segserve.core.errors import BackendFailed, InvalidInput, NotFound
from segserve.core.tensor import Tensors, TensorSpec
from segserve.export.compare import Comparison, compare_outputs, run_graph_outputs
from segserve.export.half import to_half
from segserve.export.learnt_part import learnt_part
from segserve.export.recipe import ExportConfig
from segserve.export.write import check_free, check_name, write_model
from segserve.repository.labels import read_labels
from segserve.repository.model_config import ModelInput, ModelOutput, graph_dims
from segserve.repository.pbtxt import parse_config

HALF, INT8 = "fp16", "int8"
_COMPARED_EVERY = 4


@dataclass(frozen=True)
class Converted:
    """What was written.

    Parameters
    ----------
    path : Path
        Directory of the model.
    graph_bytes : int
        Size of ``model.onnx``.
    comparison : Comparison
        Against the float32 graph, the worst of the images that it was not calibrated on.
    """

    path: Path
    graph_bytes: int
    comparison: Comparison


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice on other programs to run first from the user."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


class _Samples:
    """Calibration inputs, as ONNX Runtime draws them."""

    def __init__(self, samples: Iterable[Tensors]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, Any] | None:
        """Give the next sample, or None behind the last."""
        sample = next(self._samples, None)
        return None if sample is None else dict(sample)


def to_int8(graph: bytes, samples: Sequence[Tensors]) -> bytes:
    """Give the graph with 8-bit layers between float32 borders.

    Of graphs that choose, such as detectors', the last layers stay float32 too.

    Weights use 7 of their 8 bits, since the products of CPUs without VNNI overflow beyond.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model of float32.
    samples : sequence of Tensors
        Typical inputs with a batch axis; the ranges of activations are those seen on them.

    Raises
    ------
    InvalidInput
        Without samples.
    """
    if not samples:
        raise InvalidInput("8-bit export: got no calibration images, expected at least 1")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # noqa: PLC0415  opens late

    whole = onnx.load_from_string(graph)
    learnt = learnt_part(whole)
    with (
        tempfile.TemporaryDirectory(prefix="segserve-int8-") as folder,
        _quiet(),
        np.errstate(invalid="ignore", over="ignore"),  # ranges of what is left alone
    ):
        out = Path(folder) / "model.onnx"
        quantize_static(
            whole,
            out,
            _Samples(samples),
            nodes_to_exclude=sorted(learnt.others | learnt.last),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return out.read_bytes()


def compare_graphs(got: bytes, expected: bytes, samples: Sequence[Tensors]) -> Comparison:
    """Run samples through two graphs and give how far the first is from the second at worst."""
    found = [
        compare_outputs(run_graph_outputs(got, s), run_graph_outputs(expected, s)) for s in samples
    ]
    return Comparison(
        max(c.max_error_std for c in found),
        max(c.rms_error_std for c in found),
        min(c.label_agreement for c in found),
        min(c.matched for c in found),
        max(c.row_error for c in found),
        None if found[0].rows is None else sum(c.rows or 0 for c in found),
    )


def read_model(source: Path) -> tuple[bytes, ExportConfig]:
    """Read version 1 of an exported model: its graph, and what stands beside it.

    Raises
    ------
    NotFound
        When the folder holds no configuration, or no ONNX graph.
    """
    config_path, graph = source / "config.pbtxt", source / "1" / "model.onnx"
    for path in (config_path, graph):
        if not path.is_file():
            raise NotFound(f"{path} is not there: expected the folder of an exported ONNX model")
    config = parse_config(config_path.read_text(encoding="utf-8"), source=str(config_path))
    labels = source / "labels.txt"
    return graph.read_bytes(), ExportConfig(
        inputs=_graph_specs(config.input_specs(), config.input),
        outputs=_graph_specs(config.output_specs(), config.output),
        max_batch_size=config.max_batch_size,
        parameters=config.parameters,
        labels=tuple(read_labels(labels)) if labels.is_file() else (),
    )


def convert_model(
    source: Path, target: Path, precision: str, samples: Sequence[Tensors], *, overwrite: bool
) -> Converted:
    """Convert an exported model, compare, and write it beside or elsewhere.

    Parameters
    ----------
    source, target : Path
        Folders of the model that is there and of the one that is written: repository / name.
    precision : str
        `HALF` or `INT8`.
    samples : sequence of Tensors
        Network inputs with a batch axis. Every fourth is kept for the comparison, the others
        calibrate.
    overwrite : bool
        Replace an existing version 1.

    Raises
    ------
    ServiceError
        Nothing is written: the source is no model, the target is taken, there are too few samples,
        or the converted graph gives other shapes (`BackendFailed`).
    """
    check_name(target.name)
    check_free(target.parent, target.name, overwrite=overwrite)
    graph, config = read_model(source)
    compared = samples[::_COMPARED_EVERY]
    calibrating = [s for i, s in enumerate(samples) if i % _COMPARED_EVERY]
    if not compared:
        raise InvalidInput("got no images to compare on, expected at least 1")
    converted = to_half(graph) if precision == HALF else to_int8(graph, calibrating)
    comparison = compare_graphs(converted, graph, compared)
    if not comparison.max_error_std < float("inf"):
        raise BackendFailed(f"the {precision} graph gives values that are no numbers")
    path = write_model(target.parent, target.name, converted, config, overwrite=overwrite)
    return Converted(path, len(converted), comparison)


def _graph_specs(
    specs: Sequence[TensorSpec], listed: Sequence[ModelInput | ModelOutput]
) -> tuple[TensorSpec, ...]:
    """Give what a config lists with the dims of the graph."""
    pairs = zip(specs, listed, strict=True)
    return tuple(replace(spec, dims=graph_dims(tensor)) for spec, tensor in pairs)
