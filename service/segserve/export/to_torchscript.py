"""An eager network to one TorchScript program that a bare torch loads."""

from __future__ import annotations

import io
import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors
from segserve.export.compare import Comparison, compare_outputs, noise_like, run_eager_outputs
from segserve.export.recipe import Recipe

log = logging.getLogger(__name__)

_PICTURE_RANK = 4
_MOST_TEXT = 500  # torch puts whole tensors into its errors
_DEBUG_SUFFIX = ".debug_pkl"
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user that TorchScript is the older of torch's two formats."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield


def to_torchscript(model: nn.Module, recipe: Recipe) -> bytes:
    """Compile `model`, weights inside; the program rounds as the network does, to the last bit.

    The program is compiled from the network's source where TorchScript knows all that it says
    (``torch.jit.script``), else recorded from a run on two images (``torch.jit.trace``). What loops
    over an image's own detections is compiled in both cases. `compare_torchscript` looks at other
    sizes and numbers of images, at which a recording could go wrong. Operators are torch's own.

    Parameters
    ----------
    model : nn.Module
        As `recipe.build()` made it; left in the mode it was in.
    recipe : Recipe
        Gives sample inputs and says how many there are.

    Returns
    -------
    bytes
        What ``torch.jit.load`` reads, without the source paths of the machine that made it.

    Raises
    ------
    BackendFailed
        When the network cannot be compiled or recorded, or takes other inputs than the recipe's
        configuration says.
    """
    was_training = model.training
    model.eval()
    try:
        with _quiet(), torch.no_grad():
            # Norms folded into convolutions save 1 to 8 % of a run on a CPU, but round otherwise.
            program = torch.jit.freeze(_compiled(model, recipe), optimize_numerics=False)
            buffer = io.BytesIO()
            torch.jit.save(program, buffer)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:_MOST_TEXT]
        raise BackendFailed(
            f"{recipe.name} cannot be compiled as TorchScript: {reason}; use --format onnx"
        ) from error
    finally:
        model.train(was_training)
    names = [spec.name for spec in recipe.config().inputs]
    arguments = [a.name.split(".")[0] for a in program.forward.schema.arguments[1:]]
    if arguments != names:
        raise BackendFailed(
            f"forward of {recipe.name} takes {arguments}, expected the inputs of its configuration "
            f"by name: {names}"
        )
    return _anonymous(buffer.getvalue())


def _compiled(model: nn.Module, recipe: Recipe) -> torch.jit.ScriptModule:
    try:
        scripted: torch.jit.ScriptModule = torch.jit.script(model)
    except (RuntimeError, ValueError, TypeError) as refusal:
        # Most of TorchScript's errors are RuntimeErrors with the source lines below the reason.
        log.info("recorded_instead", extra={"recipe": recipe.name, "why": str(refusal)})
    else:
        return scripted
    noise = noise_like(recipe.sample_inputs())
    images = tuple(torch.from_numpy(noise[spec.name]) for spec in recipe.config().inputs)
    traced: torch.jit.ScriptModule = torch.jit.trace(model, images, check_trace=False)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return traced


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
    """Run the eager network and the program and compare all outputs; gives the worse comparison.

    Parameters
    ----------
    model : nn.Module
        The reference.
    program : bytes
        As `to_torchscript` gives it.
    recipe : Recipe
        Names the outputs.
    inputs : mapping of str to array
        By input name. They are run as they are, and once more with one image more, turned to the
        other format.

    Raises
    ------
    BackendFailed
        When number or shapes of outputs differ.
    """
    names = [spec.name for spec in recipe.config().outputs]
    compared = []
    for given in (inputs, _turned(inputs)):
        got, expected = run_torchscript(program, given), run_eager_outputs(model, given)
        if not len(got) == len(expected) == len(names):
            raise BackendFailed(
                f"{recipe.name}: the program gives {len(got)} outputs, the network "
                f"{len(expected)}; its configuration says {', '.join(names)}"
            )
        ours, theirs = (dict(zip(names, side, strict=True)) for side in (got, expected))
        compared.append(compare_outputs(ours, theirs))
    return max(compared, key=lambda c: (not c.is_close, -c.matched, c.max_error_std))


def _turned(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Swap height and width of pictures and of sizes [B, 2], and repeat the first image."""
    turned = {
        name: x.swapaxes(2, 3) if x.ndim == _PICTURE_RANK else x[:, ::-1]
        for name, x in inputs.items()
    }
    return {name: np.concatenate([x, x[:1]]) for name, x in turned.items()}
