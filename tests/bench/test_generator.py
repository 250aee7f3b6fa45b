"""The load generators against a server that echoes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from loadtests import h2load
from loadtests.generator import Target, run_load


class Echo(grpc.GenericRpcHandler):
    """Gives back what it gets, refuses what begins with `bad`, and notes how many it holds."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.most = 0
        self._held = 0
        self._lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        known = details.method == "/t.Echo/Say"
        return grpc.unary_unary_rpc_method_handler(self._say) if known else None

    def _say(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self._held += 1
            self.most = max(self.most, self._held)
            self.seen.add(request)
        if request.startswith(b"bad"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad request")
        with self._lock:
            self._held -= 1
        return request


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def target(echo: Echo) -> Iterator[Target]:
    server = grpc.server(ThreadPoolExecutor(8), handlers=(echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Target(f"127.0.0.1:{port}", "/t.Echo/Say")
    server.stop(None).wait()


def test_load_is_counted_and_bodies_alternate(target: Target, echo: Echo, tmp_path: Path) -> None:
    bodies = [tmp_path / "a", tmp_path / "b"]
    for body in bodies:
        body.write_bytes(body.name.encode())
    load = run_load(target, bodies, concurrency=4, seconds=0.3)
    assert load.answered > 10
    assert load.failed == 0
    assert 0 < load.p50_ms <= load.p99_ms
    assert load.per_s == pytest.approx(load.answered / load.wall_s)
    assert echo.seen == {b"a", b"b"}
    assert echo.most <= 4


def test_a_failing_server_is_no_rate(target: Target, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"good")
    bad.write_bytes(b"bad")
    with pytest.raises(RuntimeError, match="INVALID_ARGUMENT: bad request"):
        run_load(target, [good, bad], concurrency=1, seconds=0.1)


@pytest.mark.skipif(not h2load.available(), reason="h2load is not installed (nghttp2-client)")
def test_h2load_sends_what_was_given(target: Target, echo: Echo, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"hello")
    for _ in range(2):
        run = h2load.run_h2load(target, body, concurrency=4, requests=50)
        assert run.answered == 50
        assert 0 < run.p50_ms / 1e3 < run.wall_s
        assert run.per_s > 0
    assert echo.seen == {b"hello"}
