"""The same input through the eager network and through ONNX Runtime: how far apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors

MAX_ERROR_STD = 1e-2
RMS_ERROR_STD = 1e-3
MAX_SCORE_ERROR = 2e-3
MAX_ROW_ERROR = 2e-2
MIN_MATCHED = 0.97
_PICTURE_RANK = 4
_ROW_COLUMNS = ("scores", "labels")
_VALID = "valid"


@dataclass(frozen=True)
class Comparison:
    """How far outputs are from their references.

    Parameters
    ----------
    max_error_std, rms_error_std : float
        Largest and root-mean-square difference of what is compared by position, in standard
        deviations of the reference.
    label_agreement : float
        Share of positions whose largest channel is the same; 0 to 1.
    matched : float
        Share of a detector's rows that have a partner which is near in every column; 0 to 1.
    row_error : float
        Largest root-mean-square difference of such a pair, over that of the whole column.
    rows : int or None
        A detector's rows that were compared, over the batch, of whichever side has more; None when
        the outputs are no detections.
    """

    max_error_std: float
    rms_error_std: float
    label_agreement: float
    matched: float = 1.0
    row_error: float = 0.0
    rows: int | None = None

    @property
    def summary(self) -> str:
        """Say what was compared and how far it is apart, to follow the name of the runtime."""
        if self.rows is None and self.is_close:
            return f"is within {self.max_error_std:.1e} std of the eager network"
        if self.rows is None:
            return (
                f"gives {self.label_agreement:.2%} of the labels as the eager network, its logits "
                f"up to {self.max_error_std:.1e} std apart; --format torchscript gives its own bits"
            )
        found = (
            f"gives {self.matched:.1%} of {self.rows} detections as the eager network, their "
            f"columns within {self.row_error:.1e} of their size"
            if self.rows
            else "finds nothing in noise, as the eager network: no detections were compared"
        )
        rest = f"; the rest within {self.max_error_std:.1e} std" if self.max_error_std else ""
        return found + rest

    @property
    def is_close(self) -> bool:
        """Whether a float32 runtime may differ so much: at most 1e-2 std, 1e-3 on average.

        Of a detector's rows 3 % may have no partner: scores beside a threshold come and go.
        """
        return (
            self.max_error_std <= MAX_ERROR_STD
            and self.rms_error_std <= RMS_ERROR_STD
            and self.matched >= MIN_MATCHED
        )


def compare_arrays(got: Array, expected: Array) -> Comparison:
    """Compare [B, C, ...] scores with their reference.

    Raises
    ------
    BackendFailed
        The shapes differ.
    """
    if got.shape != expected.shape:
        raise BackendFailed(f"the graph gives shape {got.shape}, the network {expected.shape}")
    error = (got.astype(np.float64) - expected) / max(float(expected.std()), 1e-12)
    agreement = np.mean(got.argmax(axis=1) == expected.argmax(axis=1))
    return Comparison(
        float(np.abs(error).max()), float(np.sqrt(np.mean(error**2))), float(agreement)
    )


def partners(
    got: Tensors, expected: Tensors, image: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair the rows of one image: same label, scores within 2e-3, the nearest boxes or masks.

    Rows may swap places, so position says nothing. Among several that fit, the one whose first
    column beside scores and labels is nearest is taken; each row has one partner at most.

    Parameters
    ----------
    got, expected : Tensors
        ``scores`` and ``labels`` [B, K], and other columns [B, K, ...]; as many rows are valid as
        ``valid`` [B] says, or those whose label is not negative.
    image : int
        Which of the batch.

    Returns
    -------
    got_rows, expected_rows : intp [M]
    """
    taken: list[int] = []
    pairs: list[tuple[int, int]] = []
    candidates = _valid_rows(got, image)
    columns = [name for name in expected if name not in (*_ROW_COLUMNS, _VALID)][:1]
    for row in _valid_rows(expected, image):
        near = np.abs(got["scores"][image] - expected["scores"][image, row]) <= MAX_SCORE_ERROR
        near &= got["labels"][image] == expected["labels"][image, row]
        fitting = [int(i) for i in candidates if near[i] and int(i) not in taken]
        if fitting:
            best = min(fitting, key=lambda i: _distance(got, expected, columns, (image, i, row)))
            taken.append(best)
            pairs.append((best, int(row)))
    rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _valid_rows(outputs: Tensors, image: int) -> npt.NDArray[np.intp]:
    if _VALID in outputs:
        return np.arange(outputs[_VALID][image])
    return np.flatnonzero(outputs["labels"][image] >= 0)


def _distance(
    got: Tensors, expected: Tensors, columns: list[str], at: tuple[int, int, int]
) -> float:
    image, row, other = at
    return sum(float(np.abs(got[c][image, row] - expected[c][image, other]).sum()) for c in columns)


def _compare_rows(got: Tensors, expected: Tensors) -> Comparison:
    images = range(len(expected["scores"]))
    rows = max(
        sum(len(_valid_rows(outputs, image)) for image in images) for outputs in (got, expected)
    )
    found = [_row_errors(got, expected, image) for image in images]
    errors = np.concatenate([*found, np.zeros(0)])
    near = errors[errors <= MAX_ROW_ERROR]
    worst = float(near.max()) if len(near) else 0.0
    return Comparison(0.0, 0.0, 1.0, len(near) / rows if rows else 1.0, worst, rows)


def _row_errors(got: Tensors, expected: Tensors, image: int) -> npt.NDArray[np.float64]:
    """Give for each pair the worst of its columns' errors, relative to the column's size."""
    ours, theirs = partners(got, expected, image)
    worst = np.zeros(len(ours))
    for name in expected:
        if name in ("labels", _VALID) or not len(ours):
            continue
        reference = expected[name][image][theirs].reshape(len(theirs), -1).astype(np.float64)
        error = got[name][image][ours].reshape(len(ours), -1) - reference
        size = max(float(np.sqrt(np.mean(reference**2))) if reference.size else 0.0, 1e-12)
        worst = np.maximum(worst, np.sqrt(np.mean(error**2, axis=1)) / size)
    return worst


def _row_columns(outputs: Tensors) -> list[str]:
    """Give the outputs with a row for each detection, and ``valid``; none of other networks."""
    if not all(name in outputs for name in _ROW_COLUMNS):
        return []
    shape = outputs["scores"].shape[:2]
    counts = outputs.get(_VALID)
    if counts is not None and (counts.shape != shape[:1] or counts.dtype.kind != "i"):
        raise BackendFailed(
            f"output '{_VALID}' must be INT64 {list(shape[:1])}, how many rows of each image are "
            f"valid, got {counts.dtype} {list(counts.shape)}: export the model again"
        )
    return [name for name, array in outputs.items() if name == _VALID or array.shape[:2] == shape]


def _worse(a: Comparison, b: Comparison) -> Comparison:
    return Comparison(
        max(a.max_error_std, b.max_error_std),
        max(a.rms_error_std, b.rms_error_std),
        min(a.label_agreement, b.label_agreement),
        min(a.matched, b.matched),
        max(a.row_error, b.row_error),
        a.rows if b.rows is None else b.rows,
    )


def compare_outputs(got: Tensors, expected: Tensors) -> Comparison:
    """Compare all outputs by name; the worst counts.

    When ``scores`` and ``labels`` are among them, every output with as many rows is a column of
    detections, compared between `partners`, and ``valid`` counts them. Others are compared position
    by position.

    Parameters
    ----------
    got, expected : Tensors
        With the batch axis.

    Raises
    ------
    BackendFailed
        Names or shapes differ, or ``valid`` is no count.
    """
    shapes = [{name: array.shape for name, array in side.items()} for side in (got, expected)]
    if shapes[0] != shapes[1]:
        raise BackendFailed(f"the graph gives {shapes[0]}, the network {shapes[1]}")
    columns = _row_columns(expected)
    worst = Comparison(0.0, 0.0, 1.0)
    if columns:
        worst = _compare_rows({n: got[n] for n in columns}, {n: expected[n] for n in columns})
    for name in expected:
        if name not in columns:
            worst = _worse(worst, compare_arrays(got[name], expected[name]))
    return worst


def run_eager_outputs(model: nn.Module, inputs: Tensors) -> tuple[Array, ...]:
    """Run the network in evaluation mode on inputs in their order; gives all outputs."""
    model.eval()
    with torch.inference_mode():
        out: Tensor | tuple[Tensor, ...] = model(*(torch.from_numpy(x) for x in inputs.values()))
    return tuple(x.numpy() for x in (out if isinstance(out, tuple) else (out,)))


def run_eager(model: nn.Module, inputs: Tensors) -> Tensor:
    """Run the network in evaluation mode on inputs in their order; gives its first output."""
    return torch.from_numpy(run_eager_outputs(model, inputs)[0])


def run_graph_outputs(graph: bytes, inputs: Tensors) -> Mapping[str, Array]:
    """Run a serialised ONNX model on the CPU; gives all outputs by name."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))


def run_graph(graph: bytes, inputs: Tensors) -> Array:
    """Run a serialised ONNX model on the CPU; gives its first output."""
    return next(iter(run_graph_outputs(graph, inputs).values()))


def compare(model: nn.Module, graph: bytes, inputs: Tensors) -> Comparison:
    """Run `inputs` through both and compare all outputs.

    Parameters
    ----------
    model : nn.Module
        The reference.
    graph : bytes
        A serialised ONNX model.
    inputs : mapping of str to array
        By input name, in the order of the network's arguments.
    """
    got = run_graph_outputs(graph, inputs)
    expected = run_eager_outputs(model, inputs)
    return compare_outputs(got, dict(zip(got, expected, strict=True)))


def noise_like(samples: Tensors, seed: int = 0) -> Mapping[str, Array]:
    """Give standard normal noise in the place of pictures: blank ones hide errors.

    Inputs that are no pictures [B, C, H, W] stay as they are.
    """
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(x.shape).astype(x.dtype) if x.ndim == _PICTURE_RANK else x
        for name, x in samples.items()
    }
