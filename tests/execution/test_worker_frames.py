"""Frames: what is sent arrives; nothing else is taken."""

import json
from multiprocessing import Pipe

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.execution.worker_frames import Frame, receive, send


@pytest.fixture
def ends():
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_values_and_arrays_arrive(ends) -> None:
    arrays = {
        "image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::2],
        "box": np.array([1.5, 2.5], np.float32),
        "none": np.zeros((0, 4), np.float32),
        "flags": np.array([[True, False]]),
    }
    send(ends[0], Frame({"a": 1, "b": {"c": "x"}}, arrays))
    found = receive(ends[1])
    assert found.values == {"a": 1, "b": {"c": "x"}}
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    "head",
    [
        b"\x80\x04N.",
        b"[]",
        json.dumps({"values": {}, "arrays": [["x", "|O", [1]]]}).encode(),
        json.dumps({"values": {}, "arrays": [["x", "<f4", "y"]]}).encode(),
    ],
)
def test_what_is_no_frame_is_refused(ends, head) -> None:
    ends[0].send_bytes(head)
    ends[0].send_bytes(b"1234")
    with pytest.raises(BackendFailed, match="no message"):
        receive(ends[1])


def test_a_closed_end_is_seen(ends) -> None:
    ends[0].close()
    with pytest.raises(EOFError):
        receive(ends[1])
