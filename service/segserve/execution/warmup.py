"""Runs a model before anyone waits for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from segserve.core.errors import LoadFailed, ServiceError
from segserve.core.tensor import Array, DataType
from segserve.execution.backend import Backend

_SEED = 0


@dataclass(frozen=True)
class WarmTensor:
    """One input of a sample.

    Parameters
    ----------
    shape : tuple of int
        With the batch axis where the model has one; no free axis.
    content : bytes or {"zero", "random"}
        Raw little-endian bytes (of BYTES each element behind its length in four bytes), or how to
        make them.
    """

    dtype: DataType
    shape: tuple[int, ...]
    content: bytes | str = "zero"

    def array(self) -> Array:
        """Make the array.

        Raises
        ------
        LoadFailed
            When the bytes do not fill the shape.
        """
        if isinstance(self.content, bytes):
            return self._from_bytes(self.content)
        if self.dtype is DataType.BYTES:
            return np.full(self.shape, b"", dtype=object)
        if self.content == "random":
            values = np.random.default_rng(_SEED).random(self.shape)
            scale = 1.0 if self.dtype.numpy.kind == "f" else 100.0
            return (values * scale).astype(self.dtype.numpy)
        return np.zeros(self.shape, self.dtype.numpy)

    def _from_bytes(self, data: bytes) -> Array:
        if self.dtype is DataType.BYTES:
            return self._elements(data)
        want = prod(self.shape) * self.dtype.item_bytes
        if len(data) != want:
            raise LoadFailed(f"warm-up data has {len(data)} bytes, its shape needs {want}")
        return np.frombuffer(data, self.dtype.numpy).reshape(self.shape)

    def _elements(self, data: bytes) -> Array:
        elements: list[bytes] = []
        at = 0
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            elements.append(data[at + 4 : end])
            at = end
        if at != len(data) or len(elements) != prod(self.shape):
            raise LoadFailed(
                f"warm-up data holds {len(elements)} elements in {len(data)} bytes, its shape "
                f"needs {prod(self.shape)}: each behind its length, four bytes, little-endian"
            )
        out = np.empty(len(elements), dtype=object)
        out[:] = elements
        return out.reshape(self.shape)


@dataclass(frozen=True)
class WarmSample:
    """A batch to run `count` times on every backend, narrow and wide."""

    name: str
    inputs: Mapping[str, WarmTensor]
    count: int = 1


def run_samples(backends: Sequence[Backend], samples: Sequence[WarmSample]) -> float:
    """Run every sample on every backend, both ways; then let the backends settle.

    Returns
    -------
    float
        Seconds of the last sample's last run on one core; 0 where there was none.

    Raises
    ------
    LoadFailed
        Naming the sample that the model failed on.
    """
    took_s = 0.0
    for sample in samples:
        try:
            inputs = {name: tensor.array() for name, tensor in sample.inputs.items()}
            for backend in backends:
                for _ in range(max(1, sample.count)):
                    start_s = time.monotonic()
                    backend.run(inputs, wide=False)
                    took_s = time.monotonic() - start_s
                    backend.run(inputs, wide=True)
                if sample is samples[-1]:
                    backend.settle(inputs)
        except ServiceError as error:
            shapes = {name: list(tensor.shape) for name, tensor in sample.inputs.items()}
            raise LoadFailed(
                f"warm-up '{sample.name}' with {shapes} failed: {error.message}"
            ) from error
    return took_s
