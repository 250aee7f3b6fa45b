"""Warm-up samples."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed, LoadFailed
from segserve.core.tensor import DataType
from segserve.execution.backend import never
from segserve.execution.warmup import WarmSample, WarmTensor, run_samples


class Recorder:
    def __init__(self, *, fails=False):
        self.runs = []
        self.fails = fails

    def run(self, inputs, *, wide, stop=never):
        self.runs.append((inputs["x"].shape, wide))
        if self.fails:
            raise BackendFailed("no")

    def settle(self, inputs):
        self.runs.append((inputs["x"].shape, "settle"))


def test_every_backend_both_ways_as_often_as_asked():
    backends = [Recorder(), Recorder()]
    sample = WarmSample("s", {"x": WarmTensor(DataType.FP32, (2, 3))}, count=2)
    run_samples(backends, [sample])
    for backend in backends:
        assert backend.runs == [((2, 3), False), ((2, 3), True)] * 2 + [((2, 3), "settle")]


def test_backends_settle_once_after_the_last_sample():
    backend = Recorder()
    samples = [WarmSample(str(n), {"x": WarmTensor(DataType.FP32, (n,))}) for n in (1, 2)]
    run_samples([backend], samples)
    assert [how for _, how in backend.runs] == [False, True, False, True, "settle"]
    assert backend.runs[-1] == ((2,), "settle")


def test_a_failing_sample_is_named():
    with pytest.raises(LoadFailed, match=r"warm-up 'big' with .*\[9\].* failed: no"):
        run_samples(
            [Recorder(fails=True)], [WarmSample("big", {"x": WarmTensor(DataType.FP32, (9,))})]
        )


def test_contents():
    assert WarmTensor(DataType.INT8, (2,)).array().tolist() == [0, 0]
    noise = WarmTensor(DataType.FP32, (50,), "random").array()
    assert 0 <= noise.min() < noise.max() <= 1
    assert WarmTensor(DataType.UINT8, (50,), "random").array().max() > 10
    given = WarmTensor(DataType.FP32, (2,), np.array([1, 2], "<f4").tobytes()).array()
    assert given.tolist() == [1, 2]
    assert WarmTensor(DataType.BYTES, (1, 2)).array().tolist() == [[b"", b""]]
    with pytest.raises(LoadFailed, match="has 3 bytes, its shape needs 8"):
        WarmTensor(DataType.FP32, (2,), b"abc").array()


def test_elements_of_bytes_stand_behind_their_lengths():
    data = b"\x02\0\0\0ab" + b"\0\0\0\0"
    given = WarmTensor(DataType.BYTES, (2, 1), data).array()
    assert given.tolist() == [[b"ab"], [b""]]
    for broken in (data + b"\x01", data[:-1], data + b"\x05\0\0\0abc", data + b"\0\0\0\0"):
        with pytest.raises(LoadFailed, match=r"its shape needs 2"):
            WarmTensor(DataType.BYTES, (2, 1), broken).array()


def test_a_sample_that_cannot_be_made_is_named_too():
    sample = WarmSample("short", {"x": WarmTensor(DataType.FP32, (2,), b"abc")})
    with pytest.raises(LoadFailed, match=r"warm-up 'short' .*has 3 bytes"):
        run_samples([Recorder()], [sample])
