"""Building an answer's bytes, measured: the last phase of a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from segserve.core.messages import ModelRef

if TYPE_CHECKING:
    from segserve.serving.engine import Engine


def measured(engine: Engine, model: ModelRef, encode: Callable[[], bytes]) -> bytes:
    """Encode an answer, and tell the engine the seconds that it took and its size.

    Parameters
    ----------
    model : ModelRef
        Who answered.
    """
    start_s = time.perf_counter()
    data = encode()
    engine.answer_encoded(model, time.perf_counter() - start_s, len(data))
    return data
