"""A session with a real client's state machine (python-hyper's h2) at the other end, in memory."""

import h2.config
import h2.connection
import pytest

from segserve.transport.http2.frames import ConnectionFault
from segserve.transport.http2.headers import written
from segserve.transport.http2.reader import FrameReader
from segserve.transport.http2.session import Session

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/echo"),
    (":authority", "here"),
    ("content-type", "application/grpc"),
]
HEAD = written(((b":status", b"200"),))
TRAILERS = written(((b"grpc-status", b"0"),))


class Echo:
    """Keeps a request; `answer` gives its body back."""

    def __init__(self, stream, headers):
        self.stream, self.headers, self.body = stream, headers, bytearray()
        self.ended = self.is_lost = self.server_ended = False
        self.hungry, self.long = True, None
        self.at_end = lambda: self.answer(bytes(self.body))

    def received(self, piece):
        self.body += piece

    def room(self):
        return self.long

    def filled(self, count):
        self.body += self.long[:count]

    def request_ends(self):
        self.ended = True
        self.at_end()

    def answer(self, *parts):
        self.stream.finish(HEAD, TRAILERS, *parts)

    def lost(self):
        self.is_lost = True

    def server_ends(self):
        self.server_ended = True
        self.stream.end(TRAILERS)


class Pair:
    """A session and its client; bytes go between them when `exchange` says so."""

    def __init__(self, **settings):
        self.accepted, self.is_shaken, self.is_finished = [], False, False
        self.sent, self._planned = bytearray(), False
        self.session = Session(self._accept, self)
        self.reader = FrameReader(self.session)
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.local_settings.update(settings)
        self.client.initiate_connection()
        self.events = []

    def _accept(self, stream, headers):
        echo = Echo(stream, headers)
        self.accepted.append(echo)
        return echo

    def write(self, buffers):
        for buffer in buffers:
            self.sent += buffer

    def flush_soon(self):
        self._planned = True

    def shaken(self):
        self.is_shaken = True

    def finished(self):
        self.is_finished = True

    def feed(self, data):
        """Give the server bytes, as a socket would."""
        while data:
            view = self.reader.buffer()
            count = min(len(view), len(data))
            view[:count] = data[:count]
            self.reader.received(count)
            data = data[count:]

    def exchange(self):
        """Move bytes both ways until both are still; gives the client's new events."""
        new = []
        while True:
            self.feed(self.client.data_to_send())
            if self._planned:
                self._planned = False
                self.session.flush()
            sent, self.sent = bytes(self.sent), bytearray()
            new += self.client.receive_data(sent)
            if not sent and not self._planned:
                self.events += new
                return new

    def request(self, body=b"", *, end=True, headers=REQUEST):
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, headers, end_stream=end and not body)
        if body:
            self.client.send_data(stream_id, body, end_stream=end)
        return stream_id

    def fault(self, data):
        """Give the server bytes that break a rule; gives the fault."""
        with pytest.raises(ConnectionFault) as caught:
            self.feed(data)
        return caught.value


@pytest.fixture
async def pair():
    pair = Pair()
    pair.exchange()
    return pair


@pytest.fixture
def new_pair():
    return Pair
