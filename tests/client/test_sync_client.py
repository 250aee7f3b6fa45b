"""The blocking client against a small server."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from segserve.client import (
    Client,
    ErrorKind,
    MaskFormat,
    RetryPolicy,
    SegmentOptions,
    SegserveError,
)

FULL = [("retry-after-ms", "20")]


@pytest.fixture
def client(server):
    with Client(server.address, timeout_s=20) as connected:
        yield connected


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_one_image(client, server):
    result = client.segment(b"jpeg", "m", SegmentOptions(mask_format=MaskFormat.PNG), version=3)
    assert (result.model, result.version, result.width_px, result.height_px) == ("m", 3, 4, 3)
    (request,) = server.requests
    assert (request.model_name, request.model_version, request.encoded) == ("m", "3", b"jpeg")
    assert request.options.HasField("mask_format")
    assert not request.options.HasField("top_k")


def test_a_path_and_an_array(client, server, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"file")
    client.segment(path, "m")
    client.segment(np.zeros((2, 5, 3), np.uint8), "m")
    assert server.requests[0].encoded == b"file"
    assert (server.requests[1].raw.height_px, server.requests[1].raw.width_px) == (2, 5)


def test_large_messages_pass(client, server):
    client.segment(bytes(9_000_000), "m")
    assert len(server.requests[0].encoded) == 9_000_000


def test_a_refusal_is_told_once(client, server):
    server.fail(grpc.StatusCode.NOT_FOUND, "no such model")
    with pytest.raises(SegserveError, match="no such model") as caught:
        client.segment(b"x", "m")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert len(server.requests) == 1


def test_retries_when_the_server_asks_for_it(client, server):
    server.fail(grpc.StatusCode.UNAVAILABLE, "full", FULL, times=2)
    begun = time.monotonic()
    assert client.segment(b"x", "m").version == 3
    assert len(server.requests) == 3
    assert time.monotonic() - begun >= 0.06


def test_retries_are_bounded(server):
    server.fail(grpc.StatusCode.UNAVAILABLE, "full", FULL)
    retry = RetryPolicy(attempts=2)
    with Client(server.address, retry=retry) as client, pytest.raises(SegserveError) as caught:
        client.segment(b"x", "m")
    assert caught.value.retry_after_s == pytest.approx(0.02)
    assert len(server.requests) == 2


def test_unavailable_without_a_hint_is_not_repeated(client, server):
    server.fail(grpc.StatusCode.UNAVAILABLE, "gone")
    with pytest.raises(SegserveError, match="gone"):
        client.segment(b"x", "m")
    assert len(server.requests) == 1


def test_the_deadline_ends_a_call_and_is_not_repeated(client, server):
    release = threading.Event()
    server.on_segment = lambda request, context: release.wait(5)
    with pytest.raises(SegserveError) as caught:
        client.segment(b"x", "m", timeout_s=0.2)
    release.set()
    assert caught.value.kind is ErrorKind.DEADLINE_EXCEEDED
    assert len(server.requests) == 1


def test_no_server_is_told_within_the_bound():
    retry = RetryPolicy(connect_timeout_s=0.3)
    begun = time.monotonic()
    with (
        Client(f"127.0.0.1:{free_port()}", retry=retry) as client,
        pytest.raises(SegserveError) as caught,
    ):
        client.segment(b"x", "m")
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert time.monotonic() - begun < 5


def test_waits_for_a_server_that_is_starting(servers):
    port = free_port()
    with ThreadPoolExecutor(1) as thread, Client(f"127.0.0.1:{port}", timeout_s=20) as client:
        answer = thread.submit(client.segment, b"x", "m")
        time.sleep(0.5)
        servers(port)
        assert answer.result(20).version == 3


def rounds_of_30_calls(client, fakes):
    """Give who answered 30 calls, again and again, after all have answered one."""
    deadline_s = time.monotonic() + 20
    while not all(fake.requests for fake in fakes) and time.monotonic() < deadline_s:
        client.segment(b"x", "m")
    while True:
        before = [len(fake.requests) for fake in fakes]
        for _ in range(30):
            client.segment(b"x", "m")
        yield [len(fake.requests) - n for fake, n in zip(fakes, before, strict=True)]


def test_goes_round_over_several_servers(servers):
    fakes = [servers() for _ in range(3)]
    with Client([fake.address for fake in fakes]) as client:
        assert next(rounds_of_30_calls(client, fakes)) == [10, 10, 10]


def test_goes_round_past_a_dead_server(servers):
    """Whenever gRPC has tried the dead one again, once a second or less, it begins anew somewhere.

    So of three rounds, at least one was not disturbed; and no call of any is lost.
    """
    fakes = [servers() for _ in range(3)]
    with Client([*(fake.address for fake in fakes), f"127.0.0.1:{free_port()}"]) as client:
        rounds = rounds_of_30_calls(client, fakes)
        counts = [next(rounds) for _ in range(3)]
    assert [10, 10, 10] in counts
    assert [sum(count) for count in counts] == [30, 30, 30]


def test_passes_over_servers_that_do_not_take_calls_yet_or_any_more(servers):
    starting, serving = servers(), servers()
    starting.healthy, serving.healthy = False, True

    def reaches(fake):
        before, deadline_s = len(fake.requests), time.monotonic() + 20
        while len(fake.requests) == before and time.monotonic() < deadline_s:
            client.segment(b"x", "m")
        return len(fake.requests) > before

    with Client([starting.address, serving.address]) as client:
        for _ in range(20):
            client.segment(b"x", "m")
        assert (len(starting.requests), len(serving.requests)) == (0, 20)
        starting.healthy = True
        assert reaches(starting)
        serving.healthy = False
        time.sleep(0.3)
        before = len(serving.requests)
        for _ in range(20):
            client.segment(b"x", "m")
        assert len(serving.requests) == before


def test_threads_share_a_client(client, server):
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: client.segment(b"x", f"m{n}").model, range(40)))
    assert results == [f"m{n}" for n in range(40)]


def test_a_closed_client_says_so(client):
    client.close()
    with pytest.raises(SegserveError, match="closed"):
        client.segment(b"x", "m")


def test_the_priority_goes_with_the_request(client, server):
    client.segment(b"x", "m")
    client.segment(b"x", "m", priority=2)
    assert [answer.result.model for answer in client.segment_many([b"x"], "m", priority=3)] == ["m"]
    assert not server.requests[0].HasField("priority")
    assert [request.priority for request in server.requests[1:]] == [2, 3]
