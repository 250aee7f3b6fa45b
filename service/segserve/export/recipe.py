"""What a recipe is: a network, the checkpoints that fit it, and how the server must feed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from segserve.core.tensor import Array, TensorSpec

if TYPE_CHECKING:
    from torch import nn


def listed_dims(spec: TensorSpec) -> tuple[int, ...]:
    """Give a graph's tensor's dims as Triton's configs list them: one number of an image is [1]."""
    return spec.dims or (1,)


@dataclass(frozen=True)
class ExportConfig:
    """All that is written beside the graph.

    Parameters
    ----------
    inputs, outputs : tuple of TensorSpec
        The graph's; dims without the batch axis, -1 where free.
    max_batch_size : int
        At least 1; the graph has a batch axis.
    parameters : mapping of str to str
        The keys that the model's family reads, in the order in which they are written.
    labels : tuple of str
        Line n of ``labels.txt`` is label_id n.
    min_label_agreement : float, optional
        For semantic networks that magnify rounding (very deep, or choosing positions by rank): the
        graph is also accepted when this share of positions keeps its largest channel.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    labels: tuple[str, ...] = ()
    min_label_agreement: float | None = None

    @property
    def served_outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs as the configuration lists them and clients see them."""
        return tuple(replace(spec, dims=listed_dims(spec)) for spec in self.outputs)


@dataclass(frozen=True)
class Provenance:
    """Where a recipe comes from, in words for a person.

    Parameters
    ----------
    source : str
        Repository and commit whose checkpoints fit.
    keys : str
        What the parameter names look like and what the checkpoint wraps them in.
    input_rule, output_rule : str
        What happens to the picture before, and to the outputs after, the graph.
    """

    source: str
    keys: str
    input_rule: str
    output_rule: str


class Recipe(Protocol):
    """One exportable model."""

    @property
    def name(self) -> str:
        """Name of the recipe and, unless another is asked for, of the model."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Shorter names."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Source, keys and rules."""
        ...

    def build(self) -> nn.Module:
        """Give the network in evaluation mode, its weights not yet those of a checkpoint."""
        ...

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give one small batch by input name, of sizes that no layer divides evenly."""
        ...

    def config(self) -> ExportConfig:
        """Give what the server must know."""
        ...
