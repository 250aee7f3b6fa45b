"""An eager network to one TorchScript program that a bare torch loads."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors
from segserve.export.compare import Comparison, compare_outputs, run_eager_outputs
from segserve.export.recipe import Recipe

_DEBUG_SUFFIX = ".debug_pkl"
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user that TorchScript is the older of torch's two formats."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit", category=DeprecationWarning)
        yield


def to_torchscript(model: nn.Module, recipe: Recipe) -> bytes:
    """Compile `model`, weights inside, norms folded into their convolutions.

    The program is compiled from the network's source (``torch.jit.script``), not recorded from a
    run, so that loops over an image's own detections stay loops. Operators are torch's own.

    Parameters
    ----------
    model : nn.Module
        As `recipe.build()` made it; left in the mode it was in.
    recipe : Recipe
        Says how many inputs the program takes.

    Returns
    -------
    bytes
        What ``torch.jit.load`` reads, without the source paths of the machine that made it.

    Raises
    ------
    BackendFailed
        When the network is not written in what TorchScript knows, or takes other inputs than the
        recipe's configuration says.
    """
    was_training = model.training
    model.eval()
    try:
        with _quiet(), torch.inference_mode(mode=False), torch.no_grad():
            program = torch.jit.freeze(torch.jit.script(model))
            buffer = io.BytesIO()
            torch.jit.save(program, buffer)
    except (RuntimeError, ValueError, TypeError) as error:
        # Most of TorchScript's errors are RuntimeErrors with the source lines below the reason.
        reason = " ".join(str(error).split())
        raise BackendFailed(
            f"{recipe.name} cannot be compiled as TorchScript: {reason}; use --format onnx"
        ) from error
    finally:
        model.train(was_training)
    names = [spec.name for spec in recipe.config().inputs]
    arguments = [a.name for a in program.forward.schema.arguments[1:]]
    if arguments != names:
        raise BackendFailed(
            f"forward of {recipe.name} takes {arguments}, expected the inputs of its configuration "
            f"by name: {names}"
        )
    return _anonymous(buffer.getvalue())


def _anonymous(program: bytes) -> bytes:
    """Leave out the debug records, which hold paths and lines of source, and the time."""
    stripped = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(program)) as old,
        zipfile.ZipFile(stripped, "w", zipfile.ZIP_STORED) as new,
    ):
        for entry in old.infolist():
            if not entry.filename.endswith(_DEBUG_SUFFIX):
                new.writestr(zipfile.ZipInfo(entry.filename, _NO_TIME), old.read(entry))
    return stripped.getvalue()


def run_torchscript(program: bytes, inputs: Tensors) -> tuple[Array, ...]:
    """Run a program on the CPU on inputs in their order; gives all outputs."""
    with _quiet():
        module = torch.jit.load(io.BytesIO(program))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    with torch.inference_mode():
        out: Tensor | tuple[Tensor, ...] = module(*(torch.from_numpy(x) for x in inputs.values()))
    return tuple(x.numpy() for x in (out if isinstance(out, tuple) else (out,)))


def compare_torchscript(
    model: nn.Module, program: bytes, recipe: Recipe, inputs: Mapping[str, Array]
) -> Comparison:
    """Run `inputs` through the eager network and the program and compare all outputs.

    Raises
    ------
    BackendFailed
        When their number or shapes differ.
    """
    names = [spec.name for spec in recipe.config().outputs]
    got, expected = run_torchscript(program, inputs), run_eager_outputs(model, inputs)
    if not len(got) == len(expected) == len(names):
        raise BackendFailed(
            f"{recipe.name}: the program gives {len(got)} outputs, the network {len(expected)}; "
            f"its configuration says {', '.join(names)}"
        )
    return compare_outputs(
        dict(zip(names, got, strict=True)), dict(zip(names, expected, strict=True))
    )
