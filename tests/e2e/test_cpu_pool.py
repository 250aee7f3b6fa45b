"""The CPU's queues through a real server: callers that go away, bulk work, their metrics."""

import time
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from segserve.generated.segserve.v1 import segmentation_pb2 as pb

SIDE_PX = 400
LONG = {"clusters": "64", "iterations": "300", "starts": "32"}
SHORT = {"clusters": "2", "iterations": "1", "starts": "1"}
METHOD = "/segserve.v1.Segmentation/Segment"


@pytest.fixture(scope="module")
def server(serve_module, repo_root):
    """One core, and the k-means segmenter, whose budget is ten seconds."""
    flags = ["--model-control-mode", "explicit", "--load-model", "kmeans", "--cpu-threads", "1"]
    started = serve_module("--model-repository", Path(repo_root) / "model_repository", *flags)
    started.wait_event("ready", timeout_s=110)
    return started


@pytest.fixture
def segment(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel.unary_unary(
            METHOD, pb.SegmentRequest.SerializeToString, pb.SegmentResponse.FromString
        )


def asked(parameters, priority=None):
    pixels = np.random.default_rng(5).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    request = pb.SegmentRequest(model_name="kmeans", options=pb.SegmentOptions())
    request.options.parameters.update(parameters)
    request.raw.width_px = request.raw.height_px = SIDE_PX
    request.raw.data = pixels.tobytes()
    if priority is not None:
        request.priority = priority
    return request


def gauge(server, name):
    (line,) = (n for n in httpx.get(server.metrics).text.splitlines() if n.startswith(name + " "))
    return float(line.rpartition(" ")[2])


def test_work_ends_when_its_caller_goes_away_or_is_out_of_time(server, segment):
    segment(asked(SHORT), timeout=60)
    leaves = segment.future(asked(LONG), timeout=60)
    time.sleep(0.7)
    assert not leaves.done()
    leaves.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        segment(asked(LONG), timeout=0.7)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    start_s = time.monotonic()
    segment(asked(SHORT), timeout=60)
    assert time.monotonic() - start_s < 5  # of the ten seconds that either would have taken


def test_bulk_requests_wait_behind_others(server, segment):
    ended, work = [], {"clusters": "64", "iterations": "200", "starts": "1"}
    calls = {"first": segment.future(asked(work | {"starts": "8"}, 1), timeout=60)}
    time.sleep(0.3)
    calls |= {f"bulk {n}": segment.future(asked(work, 2), timeout=60) for n in (1, 2, 3)}
    time.sleep(0.3)
    calls["late"] = segment.future(asked(work), timeout=60)
    for name, call in calls.items():
        call.add_done_callback(lambda _, name=name: ended.append(name))
    for call in calls.values():
        call.result(timeout=60)
    while len(ended) < len(calls):  # callbacks come after results
        time.sleep(0.01)
    assert ended[0] == "first"
    assert "late" in ended[:3]  # one of bulk may have been given the core next before it came
    names = ("segserve_waiting_images", "segserve_waiting_bytes", "segserve_refine_queue_length")
    assert [gauge(server, name) for name in names] == [0, 0, 0]
    assert 'segserve_cpu_queue_length{kind="bulk",step="run"} 0' in httpx.get(server.metrics).text
