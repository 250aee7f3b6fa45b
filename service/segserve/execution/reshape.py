"""A model whose tensors have other shapes than its requests: Triton's ``reshape``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors
from segserve.execution.backend import Backend, Stop, never


@dataclass(frozen=True)
class Reshape:
    """The two shapes of one tensor, without the batch axis where the model has one.

    Their free axes (-1) stand for each other in order, and the fixed ones between them hold as many
    elements on both sides.

    Parameters
    ----------
    dims : tuple of int
        In requests and answers.
    shape : tuple of int
        In the model file.
    """

    dims: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def reverse(self) -> Reshape:
        """The way back."""
        return Reshape(self.shape, self.dims)

    def apply(self, array: Array, *, batched: bool) -> Array:
        """Give `array`, which has `dims`, the other shape; no copy is made of what is contiguous.

        Parameters
        ----------
        batched : bool
            The first axis is the batch's and stays.

        Raises
        ------
        ValueError
            When it has not.
        """
        batch = array.shape[: int(batched)]
        rows = array.shape[int(batched) :]
        free = [size for size, dim in zip(rows, self.dims, strict=True) if dim < 0]
        sizes = iter(free)
        return array.reshape(batch + tuple(next(sizes) if d < 0 else d for d in self.shape))


class ReshapedBackend:
    """Runs another backend, whose tensors have the `shape` where callers see the `dims`.

    Parameters
    ----------
    backend : Backend
    inputs, outputs : mapping
        The tensors that differ, by name.
    batched : bool
        The model has a batch axis.
    """

    def __init__(
        self,
        backend: Backend,
        inputs: Mapping[str, Reshape],
        outputs: Mapping[str, Reshape],
        *,
        batched: bool,
    ) -> None:
        self._backend = backend
        self._inputs = dict(inputs)
        self._outputs = {name: each.reverse for name, each in outputs.items()}
        self._batched = batched
        self.specs = backend.specs
        self.reentrant = backend.reentrant
        self.device = backend.device
        self.providers = backend.providers
        self.widens = backend.widens

    def run(self, inputs: Tensors, *, wide: bool, stop: Stop = never) -> Tensors:
        """Run the model. See `Backend.run`."""
        given = self._backend.run(self._fed(inputs), wide=wide, stop=stop)
        try:
            return self._shaped(given, self._outputs)
        except ValueError as error:
            shapes = {name: list(given[name].shape) for name in self._outputs if name in given}
            raise BackendFailed(
                f"the model gave outputs of shapes {shapes}, which the config's reshape does not "
                f"fit: {error}"
            ) from error

    def settle(self, inputs: Tensors) -> None:
        """See `Backend.settle`."""
        self._backend.settle(self._fed(inputs))

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()

    def _fed(self, inputs: Tensors) -> Tensors:
        return self._shaped(inputs, self._inputs)

    def _shaped(self, tensors: Tensors, reshapes: Mapping[str, Reshape]) -> Tensors:
        return {
            name: reshapes[name].apply(array, batched=self._batched) if name in reshapes else array
            for name, array in tensors.items()
        }
