"""A stream as its owner sees it; more is tested with its session."""

import h2.events

from segserve.transport.http2.frames import ErrorCode


async def test_nothing_follows_the_end(pair):
    pair.request(b"x")
    pair.exchange()
    stream = pair.accepted[0].stream
    for late in (
        lambda: stream.body(b"more"),
        lambda: stream.finish(b"", b"", b"more"),
        lambda: stream.end(b""),
        lambda: stream.reset(ErrorCode.CANCEL),
    ):
        late()
        assert pair.exchange() == []


async def test_a_streamed_answer(pair):
    stream_id = pair.request(end=False)
    pair.exchange()
    stream = pair.accepted[0].stream
    stream.head(b"\x88")
    stream.body(b"one")
    events = pair.exchange()
    assert [type(e) for e in events] == [h2.events.ResponseReceived, h2.events.DataReceived]
    stream.body(b"two")
    assert pair.exchange()[0].data == b"two"
    stream.reset(ErrorCode.INTERNAL_ERROR)
    (event,) = pair.exchange()
    assert (event.stream_id, event.error_code) == (stream_id, ErrorCode.INTERNAL_ERROR)
    assert pair.session.done


async def test_counting(pair):
    pair.request(end=False)
    pair.exchange()
    stream = pair.accepted[0].stream
    left = stream.left_bytes
    assert stream.took(left)
    assert not stream.took(1)
