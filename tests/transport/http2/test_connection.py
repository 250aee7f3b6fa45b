"""A connection on a real socket."""

import asyncio
import contextlib

import h2.config
import h2.connection
import h2.events
import hyperframe.frame
import pytest
import uvloop

from segserve.transport.http2.connection import Connection
from segserve.transport.http2.headers import written
from segserve.transport.http2.lifetime import LifetimeLimits

HEAD, TRAILERS = written(((b":status", b"200"),)), written(((b"grpc-status", b"0"),))
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "here")]


class Answer:
    """Answers a request of any length with one of `size` bytes."""

    hungry = True

    def __init__(self, stream, size):
        self.stream, self.size, self.gone, self.stopped = stream, size, asyncio.Event(), False

    def received(self, piece):
        pass

    def room(self):
        return None

    def filled(self, count):
        pass

    def request_ends(self):
        if self.size is not None:
            self.stream.finish(HEAD, TRAILERS, bytes(self.size))

    def lost(self):
        self.gone.set()

    def server_ends(self):
        self.stopped = True
        self.stream.end(HEAD + TRAILERS)


class Server:
    def __init__(self, size, limits):
        self.open, self.size, self.limits = set(), size, limits
        self._accepted = asyncio.Queue()

    def accept(self, stream, _headers):
        answer = Answer(stream, self.size)
        self._accepted.put_nowait(answer)
        return answer

    async def accepted(self):
        async with asyncio.timeout(5):
            return await self._accepted.get()

    async def start(self):
        self.server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self.accept, self.limits, self.open), "127.0.0.1", 0
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def gone(self):
        for _ in range(1000):
            if not self.open:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"still open: {self.open}")


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()

    def ask(self):
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, REQUEST, end_stream=True)
        self.writer.write(self.h2.data_to_send())

    async def until(self, kind):
        """Read up to an event; gives the events on the way."""
        seen = []
        async with asyncio.timeout(10):
            while not any(isinstance(event, kind) for event in seen):
                data = await self.reader.read(65_536)
                assert data, f"closed after {seen}"
                for event in self.h2.receive_data(data):
                    seen.append(event)
                    if isinstance(event, h2.events.DataReceived):
                        size = event.flow_controlled_length
                        self.h2.acknowledge_received_data(size, event.stream_id)
                self.writer.write(self.h2.data_to_send())
        return seen

    async def frames(self):
        """Read all frames up to the connection's end: h2 itself takes none after a GOAWAY."""
        async with asyncio.timeout(10):
            data = await self.reader.read()
        told = []
        while data:
            frame, length = hyperframe.frame.Frame.parse_frame_header(memoryview(data[:9]))
            frame.parse_body(memoryview(data[9 : 9 + length]))
            told.append(frame)
            data = data[9 + length :]
        return told


@contextlib.asynccontextmanager
async def running(size=10, **limits):
    server = Server(size, LifetimeLimits(**limits))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    yield server, Client(reader, writer)
    writer.close()
    server.server.close()
    await server.gone()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def on_loop(request):
    """Run a case on each kind of event loop."""

    def run(case):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(case())

    return run


def test_an_answer_of_any_length(on_loop):
    async def case():
        async with running(3_000_000) as (_server, client):
            client.ask()
            events = await client.until(h2.events.StreamEnded)
            got = sum(len(e.data) for e in events if isinstance(e, h2.events.DataReceived))
            assert got == 3_000_000

    on_loop(case)


def test_leaving(on_loop):
    async def case():
        async with running(None) as (server, client):
            client.ask()
            answer = await server.accepted()
            (connection,) = server.open
            connection.leave()
            await asyncio.sleep(0.02)
            assert not connection.done
            answer.stream.finish(HEAD, TRAILERS, b"late")
            frames = await client.frames()
            names = [type(frame).__name__ for frame in frames]
            assert names[-4:] == ["GoAwayFrame", "HeadersFrame", "DataFrame", "HeadersFrame"]
            assert (frames[-2].data, "END_STREAM" in frames[-1].flags) == (b"late", True)
            assert connection.done

    on_loop(case)


def test_closing_answers_what_is_open(on_loop):
    async def case():
        async with running(None) as (server, client):
            client.ask()
            answer = await server.accepted()
            (connection,) = server.open
            connection.close()
            assert (await client.frames())[-1].data == HEAD + TRAILERS
            assert answer.stopped
            await server.gone()

    on_loop(case)


def test_a_peer_that_goes(on_loop):
    async def case():
        async with running(None) as (server, client):
            client.ask()
            answer = await server.accepted()
            client.writer.transport.abort()
            async with asyncio.timeout(5):
                await answer.gone.wait()

    on_loop(case)


def test_a_peer_that_does_not_read_is_noticed(on_loop):
    async def case():
        async with running(0) as (server, client):
            client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
            client.ask()
            await client.until(h2.events.StreamEnded)
            (connection,) = server.open
            connection._transport.set_write_buffer_limits(1000)
            connection._session.sender.control(bytes(20_000_000))
            connection._session.flush()
            for _ in range(200):
                await asyncio.sleep(0.005)
                if connection._session.congested:
                    break
            assert connection._session.congested
            async with asyncio.timeout(10):
                while connection._session.congested:
                    await client.reader.read(1 << 20)
            client.writer.transport.abort()

    on_loop(case)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x00\x05"])
def test_another_protocol_is_told_which_port_to_use(on_loop, first, caplog):
    async def case():
        async with running() as (server, client):
            client.writer.write(first)
            async with asyncio.timeout(5):
                answer = await client.reader.read()
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"--http-port" in answer
            await server.gone()

    with caplog.at_level("INFO"):
        on_loop(case)
    assert [record.message for record in caplog.records] == ["connection_failed"]


def test_a_peer_that_breaks_a_rule_is_told(on_loop):
    async def case():
        async with running() as (_server, client):
            client.writer.write(client.h2.data_to_send() + b"\x00\x00\x01\x00\x00\x00\x00\x00\x09x")
            last = (await client.frames())[-1]
            assert (last.error_code, last.additional_data) == (
                1,
                b"a frame of kind 0 on stream 9, which was not opened",
            )

    on_loop(case)


def test_silent_peers_are_cut(on_loop):
    async def case():
        async with running(handshake_s=0.02) as (_server, client):
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    assert await client.reader.read() == b""

    on_loop(case)


def test_old_connections_are_retired(on_loop):
    async def case():
        async with running(max_age_s=0.02) as (_server, client):
            client.ask()
            assert await client.until(h2.events.ConnectionTerminated)

    on_loop(case)
