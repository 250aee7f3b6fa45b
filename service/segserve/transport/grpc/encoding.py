"""Building an answer's bytes, measured: the last phase of a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from segserve.core.messages import InferResponse, SegmentResponse

if TYPE_CHECKING:
    from segserve.serving.engine import Engine


def measured(
    engine: Engine, answer: InferResponse | SegmentResponse, encode: Callable[[], bytes]
) -> bytes:
    """Encode an answer, and tell the engine the seconds that it took and its size."""
    start_s = time.perf_counter()
    data = encode()
    engine.answer_encoded(answer, time.perf_counter() - start_s, len(data))
    return data
