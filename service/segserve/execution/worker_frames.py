"""What goes between the server and a worker process: values as JSON, arrays as they lie in memory.

Nothing that is received can be more than numbers and text: no pickles, so that a worker that a
broken image has taken over cannot take the server over too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from segserve.core.errors import BackendFailed

if TYPE_CHECKING:
    from segserve.core.tensor import Array

_KINDS = tuple("biuf")
"""Booleans and numbers, as they stand second in numpy's type strings."""


@dataclass(frozen=True)
class Frame:
    """One message.

    Parameters
    ----------
    values : Mapping
        What JSON can hold.
    arrays : Mapping of str to array
        Of booleans or numbers.
    """

    values: Mapping[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict)


def send(connection: Connection[Any, Any], frame: Frame) -> None:
    """Write a message; blocks while the other side does not read.

    Raises
    ------
    OSError
        When the other side has gone.
    """
    import numpy as np  # noqa: PLC0415  a worker caps its threads before numpy opens

    described = [[name, a.dtype.str, list(a.shape)] for name, a in frame.arrays.items()]
    head = {"values": dict(frame.values), "arrays": described}
    connection.send_bytes(json.dumps(head).encode())
    for array in frame.arrays.values():
        if array.size:
            connection.send_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _number_type(text: str) -> str:
    if text[1:2] not in _KINDS:
        raise ValueError(f"an array of {text}")
    return text


def receive(connection: Connection[Any, Any]) -> Frame:
    """Read a message.

    Raises
    ------
    EOFError, OSError
        When the other side has gone.
    BackendFailed
        When it is no message.
    """
    import numpy as np  # noqa: PLC0415  as above

    try:
        head = json.loads(connection.recv_bytes())
        arrays = {}
        for name, text, shape in head["arrays"]:
            dtype = np.dtype(_number_type(text))
            empty = 0 in shape
            data = b"" if empty else connection.recv_bytes()
            arrays[str(name)] = np.frombuffer(data, dtype).reshape(shape)
        return Frame(head["values"], arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise BackendFailed(f"a worker process sent what is no message: {error!r}") from error
