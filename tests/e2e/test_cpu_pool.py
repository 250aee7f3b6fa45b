"""The CPU's queues through a real server: callers that go away, bulk work, their metrics."""

import shutil
import time
from functools import partial
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from segserve.generated.segserve.v1 import segmentation_pb2 as pb

LONG_PX, SHORT_PX = 2000, 50
LONG = {"clusters": "64", "iterations": "300"}
SHORT = {"clusters": "2", "iterations": "1", "starts": "1"}
METHOD = "/segserve.v1.Segmentation/Segment"


@pytest.fixture(scope="module")
def server(serve_module, repo_root, tmp_path_factory):
    """One core, and a k-means segmenter that may take a minute for large images."""
    repository = tmp_path_factory.mktemp("models")
    shutil.copytree(Path(repo_root) / "model_repository" / "kmeans", repository / "kmeans")
    config = repository / "kmeans" / "config.pbtxt"
    text = config.read_text().replace('"500"', f'"{LONG_PX}"').replace('"10000"', '"60000"')
    config.write_text(text)
    started = serve_module("--model-repository", repository, "--cpu-threads", "1")
    started.wait_event("ready", timeout_s=110)
    return started


@pytest.fixture
def segment(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel.unary_unary(
            METHOD, pb.SegmentRequest.SerializeToString, pb.SegmentResponse.FromString
        )


def asked(side_px, parameters, priority=None):
    pixels = np.random.default_rng(5).integers(0, 256, (side_px, side_px, 3), np.uint8)
    request = pb.SegmentRequest(model_name="kmeans", options=pb.SegmentOptions())
    request.options.parameters.update(parameters)
    request.raw.width_px = request.raw.height_px = side_px
    request.raw.data = pixels.tobytes()
    if priority is not None:
        request.priority = priority
    return request


def gauge(server, name):
    lines = httpx.get(server.metrics).text.splitlines()
    (line,) = (n for n in lines if n.split("{")[0].split(" ")[0] == name)
    return float(line.rpartition(" ")[2])


def wait_for(server, is_so):
    """Wait until the server's gauges say so; they are given by a function of their names."""
    end_s = time.monotonic() + 30
    while not is_so(partial(gauge, server)):
        assert time.monotonic() < end_s
        time.sleep(0.02)


def long_work(server, segment):
    """Have the one core work on something for long; gives the call."""
    call = segment.future(asked(LONG_PX, LONG), timeout=60)
    much = LONG_PX * LONG_PX
    wait_for(server, lambda has: has("segserve_admitted_bytes") > much)
    wait_for(server, lambda has: has("segserve_waiting_images") == 0)  # it is decoded, so it runs
    return call


def wait_queue(server, count):
    wait_for(server, lambda has: has("segserve_waiting_images") == count)


def test_work_ends_when_its_caller_goes_away_or_is_out_of_time(server, segment):
    leaves = long_work(server, segment)
    behind = segment.future(asked(SHORT_PX, SHORT), timeout=60)
    wait_queue(server, 1)
    assert not leaves.done()
    start_s = time.monotonic()
    leaves.cancel()
    behind.result()
    with pytest.raises(grpc.RpcError) as caught:
        segment(asked(LONG_PX, LONG), timeout=0.7)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    segment(asked(SHORT_PX, SHORT), timeout=60)
    assert time.monotonic() - start_s < 5  # either would have taken longer


def test_bulk_requests_wait_behind_others(server, segment):
    ended = []
    first = long_work(server, segment)
    calls = {}
    for name, priority in (("bulk 1", 2), ("bulk 2", 2), ("bulk 3", 2), ("late", None)):
        calls[name] = segment.future(asked(SHORT_PX, SHORT, priority), timeout=60)
        calls[name].add_done_callback(lambda _, name=name: ended.append(name))
        wait_queue(server, len(calls))
    assert not first.done()
    first.cancel()
    for call in calls.values():
        call.result(timeout=60)
    while len(ended) < len(calls):  # callbacks come after results
        time.sleep(0.01)
    assert "late" in ended[:3]  # the first of bulk has left its line before; one in eight is theirs
    names = ("segserve_waiting_images", "segserve_waiting_bytes", "segserve_refine_queue_length")
    assert [gauge(server, name) for name in names] == [0, 0, 0]
    assert 'segserve_cpu_queue_length{kind="bulk",step="run"} 0' in httpx.get(server.metrics).text
