"""Weights out of a file into a network, or one clear error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from segserve.core.errors import InvalidInput, NotFound
from segserve.export.records import ArrayRecord, TensorRecord
from segserve.export.safetensors_file import is_safetensors, read_safetensors
from segserve.export.torch_file import OpenCheckpoint, open_checkpoint

_WRAPPERS = ("model_state", "state_dict", "model")
_PARALLEL = "module."
_MAX_LISTED = 20
_KINDS = ("missing", "shape", "dtype", "unexpected")


@runtime_checkable
class AdaptsCheckpoint(Protocol):
    """A network whose checkpoints come in more than one dress."""

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the weights under today's names, without what is no weight.

        What the network does not know is left alone, for `match_state_dict` to name.
        """


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint.

    Zip and legacy files of ``torch.save``, bare pickles of numpy arrays and safetensors are read.
    Weights are looked for under ``model_state``, ``state_dict`` and ``model``, in that order, then
    at the top; a ``module.`` that all names begin with is taken off. Only the weights are read:
    optimizer state is skipped.

    Parameters
    ----------
    path : Path
        Of the file.

    Returns
    -------
    dict of str to Tensor
        On the CPU, of the dtypes of the file.

    Raises
    ------
    NotFound
        There is no such file.
    InvalidInput
        The file is damaged, holds objects that are not allowed (named), or no weights.
    """
    if not path.is_file():
        raise NotFound(f"no checkpoint {path}")
    try:
        if is_safetensors(path):
            state = read_safetensors(path)
        else:
            with open_checkpoint(path) as checkpoint:
                state = _tensors(checkpoint)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}") from error
    if state and all(key.startswith(_PARALLEL) for key in state):
        state = {key.removeprefix(_PARALLEL): value for key, value in state.items()}
    return state


def _tensors(checkpoint: OpenCheckpoint) -> dict[str, Tensor]:
    weights = _unwrapped(checkpoint.tree)
    state: dict[str, Tensor] = {}
    for key, value in weights.items():
        if isinstance(value, TensorRecord):
            state[key] = value.load(checkpoint.read)
        elif isinstance(value, ArrayRecord):
            state[key] = value.load()
        else:
            raise InvalidInput(f"{key!r} is a {type(value).__name__}; expected a tensor")
    return state


def _unwrapped(tree: Any) -> Mapping[str, Any]:
    wrapper = _wrapper(tree)
    while wrapper is not None:
        tree = tree[wrapper]
        wrapper = _wrapper(tree)
    is_named = isinstance(tree, dict) and all(isinstance(key, str) for key in tree)
    if not is_named or not any(isinstance(v, (TensorRecord, ArrayRecord)) for v in tree.values()):
        keys = ", ".join(str(k)[:40] for k in list(tree)[:10]) if isinstance(tree, dict) else ""
        raise InvalidInput(
            f"no weights under {', '.join(_WRAPPERS)} or at the top; got a {type(tree).__name__}"
            + (f" of {keys}" if keys else "")
        )
    weights: Mapping[str, Any] = tree
    return weights


def _wrapper(tree: Any) -> str | None:
    if not isinstance(tree, dict):
        return None
    return next((key for key in _WRAPPERS if isinstance(tree.get(key), dict)), None)


def match_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights of exactly the right names and shapes into a network.

    Parameters
    ----------
    model : nn.Module
        Filled in place; untouched on error. One that `AdaptsCheckpoint` is asked first.
    state : mapping of str to Tensor
        As `load_checkpoint` gives them. Floats are converted to the network's dtype.

    Raises
    ------
    InvalidInput
        Counts the names that are missing, unexpected, of the wrong shape or dtype, and lists up to
        20 of each kind.
    """
    if isinstance(model, AdaptsCheckpoint):
        state = model.adapt_checkpoint(state)
    wrong = list(_differences(model.state_dict(), state))
    if wrong:
        by_kind = {kind: [w for w in wrong if w.startswith(f"{kind}: ")] for kind in _KINDS}
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in by_kind.items() if names)
        shown: list[str] = []
        for kind, names in by_kind.items():
            shown += names[:_MAX_LISTED]
            if len(names) > _MAX_LISTED:
                shown.append(f"and {len(names) - _MAX_LISTED} more {kind}")
        raise InvalidInput(
            f"the checkpoint does not fit this recipe, {len(wrong)} names differ ({counts}); "
            "choose the recipe that it was trained with:\n  " + "\n  ".join(shown)
        )
    model.load_state_dict(dict(state))


def _is_same_scalar(got: Tensor, expected: Tensor) -> bool:
    """Whether a lone number came as a list of one, as files older than torch 0.4 hold it."""
    return expected.ndim == 0 and got.shape == (1,)


def _differences(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> Iterator[str]:
    for key, tensor in expected.items():
        if key not in got:
            yield f"missing: {key} {list(tensor.shape)}"
        elif got[key].shape != tensor.shape and not _is_same_scalar(got[key], tensor):
            yield f"shape: {key}: got {list(got[key].shape)}, expected {list(tensor.shape)}"
        elif got[key].is_complex() or got[key].is_floating_point() != tensor.is_floating_point():
            yield f"dtype: {key}: got {got[key].dtype}, expected {tensor.dtype}"
    yield from (
        f"unexpected: {key} {list(t.shape)}" for key, t in got.items() if key not in expected
    )
