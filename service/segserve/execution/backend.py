"""What a loaded model is to those who run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from segserve.core.tensor import Tensors, TensorSpec


class Stop(Protocol):
    """Whether nobody waits for the answer any more."""

    def __call__(self) -> bool:
        """Ask, on any thread."""
        ...

    def tell(self, end: Callable[[], None]) -> None:
        """Have `end` called as soon as it is so, at once if it is: on any thread, or never."""
        ...


class Never:
    """The `Stop` of those who wait in any case."""

    def __call__(self) -> bool:
        """Say no."""
        return False

    def tell(self, end: Callable[[], None]) -> None:
        """Let `end` be."""


never = Never()


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
    widens : bool
        A run can use more cores than one.
    """

    specs: GraphSpecs
    reentrant: bool
    device: str
    providers: tuple[str, ...]
    widens: bool

    def run(self, inputs: Tensors, *, wide: bool, stop: Stop = never) -> Tensors:
        """Run the model; blocks, and trusts its input.

        Parameters
        ----------
        inputs : Tensors
            With the batch axis where the model has one.
        wide : bool
            Use all cores if the backend can; nothing else runs meanwhile.
        stop : Stop
            When it says so, a backend that can ends the run half-way.

        Raises
        ------
        Cancelled
            When the run was ended because `stop` said so.
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
