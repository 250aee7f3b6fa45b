"""What a loaded model is to those who run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from segserve.core.tensor import Tensors, TensorSpec

Stop = Callable[[], bool]
"""Asked, on any thread, whether nobody waits for the answer any more."""


def never() -> bool:
    """Be the `Stop` of those who wait in any case."""
    return False


@dataclass(frozen=True)
class GraphSpecs:
    """A model file's tensors with full shapes: the batch axis included, -1 for free axes."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Backend(Protocol):
    """A loaded model.

    Attributes
    ----------
    specs : GraphSpecs
        As the model file has them.
    reentrant : bool
        Several threads may be inside `run` at the same time.
    device : str
        ``cpu`` or ``cuda:0``: as really in use, not as asked for.
    providers : tuple of str
        What runs it there, by the runtime's own names, first choice first.
    """

    specs: GraphSpecs
    reentrant: bool
    device: str
    providers: tuple[str, ...]

    def run(self, inputs: Tensors, *, wide: bool) -> Tensors:
        """Run the model; blocks, and trusts its input.

        Parameters
        ----------
        inputs : Tensors
            With the batch axis where the model has one.
        wide : bool
            Use all cores if the backend can; nothing else runs meanwhile.

        Raises
        ------
        BackendFailed
            When the model fails.
        """
        ...

    def settle(self, inputs: Tensors) -> None:
        """Give back the working memory that runs have gathered; called when warm-up is over.

        Parameters
        ----------
        inputs : Tensors
            Those of the last run: a backend may need one more run to do it.
        """
        ...

    def close(self) -> None:
        """Free what the model holds; nobody is inside `run`."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A backend whose run can be ended half-way."""

    def run_until(self, inputs: Tensors, *, stop: Stop) -> Tensors:
        """Run as `Backend.run` does, and look at `stop` again and again.

        Raises
        ------
        Cancelled
            When `stop` said so.
        """
        ...
