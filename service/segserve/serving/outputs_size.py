"""What a model's outputs will take, before it has run: declared, or as its runs have shown."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from segserve.core.tensor import TensorSpec


class OutputsSize:
    """Expects the outputs of one image.

    Outputs with free axes, such as logits at the size of the input, are taken to grow with the
    input, by the largest share of it seen so far; the first image counts without them.

    Parameters
    ----------
    outputs : sequence of TensorSpec
        Without the batch axis.
    """

    def __init__(self, outputs: Sequence[TensorSpec]) -> None:
        fixed = [spec for spec in outputs if all(d >= 0 for d in spec.dims)]
        self._fixed_bytes = sum(prod(spec.dims) * spec.dtype.item_bytes for spec in fixed)
        self._share = 0.0

    def expected_bytes(self, input_bytes: int) -> int:
        """Give the bytes of one image's outputs, for a network input of so many."""
        return self._fixed_bytes + int(self._share * input_bytes)

    def seen(self, input_bytes: int, outputs_bytes: int) -> None:
        """Note what a run gave."""
        free_bytes = outputs_bytes - self._fixed_bytes
        self._share = max(self._share, free_bytes / max(1, input_bytes))
