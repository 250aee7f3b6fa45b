"""A session against a real client's state machine."""

import asyncio

import h2.errors
import h2.events
import h2.settings
import hyperframe.frame as theirs
import pytest

from segserve.transport.http2.frames import PREFACE, ConnectionFault, ErrorCode, Kind, read_head
from segserve.transport.http2.session import CONNECTION_WINDOW_BYTES, MAX_REPLIES
from segserve.transport.http2.stream import WINDOW_BYTES


def body(events, stream_id):
    pieces = [e for e in events if isinstance(e, h2.events.DataReceived)]
    return b"".join(e.data for e in pieces if e.stream_id == stream_id)


def kinds(events, kind):
    return [e for e in events if isinstance(e, kind)]


async def test_a_call(pair):
    assert pair.is_shaken
    stream_id = pair.request(b"hello")
    events = pair.exchange()
    assert body(events, stream_id) == b"hello"
    (head,) = kinds(events, h2.events.ResponseReceived)
    assert (b":status", b"200") in head.headers
    (tail,) = kinds(events, h2.events.TrailersReceived)
    assert (b"grpc-status", b"0") in tail.headers
    assert kinds(events, h2.events.StreamEnded)
    (echo,) = pair.accepted
    assert dict(echo.headers)[b":path"] == b"/echo"
    assert pair.session.done


async def test_many_calls_at_once(pair):
    bodies = {pair.request(bytes([n]) * n): bytes([n]) * n for n in range(1, 100)}
    events = pair.exchange()
    assert {n: body(events, n) for n in bodies} == bodies


async def test_a_request_without_a_body_and_one_with_trailers(pair):
    first = pair.request()
    second = pair.request(b"abc", end=False)
    pair.client.send_headers(second, [("grpc-x", "1")], end_stream=True)
    events = pair.exchange()
    assert (body(events, first), body(events, second)) == (b"", b"abc")


async def test_long_requests_get_room_again(pair):
    stream_id = pair.request(end=False)
    pair.exchange()
    sent, pair.accepted[0].at_end = 0, lambda: None
    while sent < 80 << 20:
        room = min(pair.client.local_flow_control_window(stream_id), 1 << 20)
        assert room > 0, f"no room after {sent} bytes"
        for _ in range(-(-room // pair.client.max_outbound_frame_size)):
            size = min(room, pair.client.max_outbound_frame_size)
            pair.client.send_data(stream_id, bytes(size))
            room -= size
            sent += size
        pair.exchange()
        pair.accepted[0].body.clear()


async def test_an_owner_that_is_not_hungry_holds_the_peer_back(pair):
    stream_id = pair.request(end=False)
    pair.exchange()
    echo = pair.accepted[0]
    echo.hungry = False
    size = pair.client.max_outbound_frame_size
    for _ in range(WINDOW_BYTES // size):
        pair.client.send_data(stream_id, bytes(size))
    pair.exchange()
    assert pair.client.local_flow_control_window(stream_id) == 0
    other = pair.request(b"x")
    assert body(pair.exchange(), other) == b"x"
    echo.hungry = True
    echo.stream.grant()
    pair.exchange()
    assert pair.client.local_flow_control_window(stream_id) == WINDOW_BYTES


async def test_more_than_the_window(pair):
    """The peer that sends more than it may loses the stream, not the connection."""
    stream_id = pair.request(end=False)
    pair.exchange()
    pair.accepted[0].hungry = False
    data = theirs.DataFrame(stream_id, bytes(1 << 20)).serialize()
    for _ in range(5):
        pair.feed(data)
    assert pair.accepted[0].is_lost
    events = pair.exchange()
    assert kinds(events, h2.events.StreamReset)[0].error_code == ErrorCode.FLOW_CONTROL_ERROR


async def test_more_than_the_connection_s_window(pair):
    for _ in range(CONNECTION_WINDOW_BYTES // WINDOW_BYTES + 1):
        pair.request(end=False)
    pair.exchange()
    pair.session._left_bytes = 10
    fault = pair.fault(theirs.DataFrame(1, bytes(11)).serialize())
    assert fault.code is ErrorCode.FLOW_CONTROL_ERROR


async def test_answers_wait_for_the_peer_s_window(new_pair):
    pair = new_pair()
    pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    pair.exchange()
    stream_id = pair.request(b"q")
    pair.feed(pair.client.data_to_send())  # the echo has answered with what it may
    other = pair.request(b"w")
    events = pair.exchange()
    assert (body(events, stream_id), body(events, other)) == (b"q", b"w")
    third = pair.request(bytes(2500))
    got = body(pair.exchange(), third)
    while len(got) < 2500:
        pair.client.increment_flow_control_window(700, third)
        more = body(pair.exchange(), third)
        assert 0 < len(more) <= 1000
        got += more
    assert pair.session.done


async def test_a_larger_window_is_used_after_it_was_acknowledged(pair):
    pair.request(bytes(70_000))
    pair.exchange()
    pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
    pair.client.increment_flow_control_window(100_000)
    pair.feed(pair.client.data_to_send())
    pair.session.flush()
    kinds = []
    while pair.sent:
        size, kind, _, _ = read_head(memoryview(pair.sent), 0)
        kinds.append(kind)
        del pair.sent[: 9 + size]
    assert kinds[0] == Kind.SETTINGS
    assert Kind.DATA in kinds


async def test_drained_and_congested(pair):
    stream_id = pair.request(end=False)
    pair.exchange()
    stream = pair.accepted[0].stream
    stream.head(b"")
    stream.body(bytes(70_000))
    waiting = asyncio.create_task(stream.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.session.sender.window_update(stream_id, 70_000)
    pair.session.flow(congested=True)
    pair.session.sender.window_update(0, 70_000)
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.session.flow(congested=False)
    async with asyncio.timeout(5):
        await waiting


@pytest.mark.parametrize("answered", [False, True])
async def test_a_reset(pair, answered):
    stream_id = pair.request(b"x" * (70_000 if answered else 1), end=answered)
    pair.exchange()
    pair.client.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
    pair.exchange()
    assert pair.accepted[0].is_lost is not answered
    assert pair.session.done


async def test_early_answers_tell_the_peer_to_stop(pair):
    stream_id = pair.request(b"part", end=False)
    pair.exchange()
    pair.accepted[0].stream.end(b"\x88", request_ended=False)
    events = pair.exchange()
    assert kinds(events, h2.events.StreamEnded)[0].stream_id == stream_id
    pair.feed(theirs.DataFrame(stream_id, b"still").serialize())  # crossed on the way
    assert bytes(pair.accepted[0].body) == b"part"


async def test_ping(pair):
    pair.client.ping(b"abcdefgh")
    assert kinds(pair.exchange(), h2.events.PingAckReceived)[0].ping_data == b"abcdefgh"
    pair.session.ping()
    assert kinds(pair.exchange(), h2.events.PingReceived)


async def test_a_peer_that_asks_and_does_not_read(pair):
    ping = theirs.PingFrame(0, b"12345678").serialize()
    pair.feed(ping * (MAX_REPLIES + 10))
    pair.session.flow(congested=True)
    pair.feed(ping * MAX_REPLIES)
    pair.session.flow(congested=False)
    pair.session.flow(congested=True)
    pair.feed(ping * MAX_REPLIES)
    assert pair.fault(ping).code is ErrorCode.ENHANCE_YOUR_CALM


async def test_retiring_answers_everything(pair):
    first = pair.request(b"a", end=False)
    pair.exchange()
    pair.session.retire()
    assert kinds(pair.exchange(), h2.events.ConnectionTerminated)[0].last_stream_id == 2**31 - 1
    pair.feed(theirs.DataFrame(first, b"b", flags=["END_STREAM"]).serialize())
    assert pair.accepted[0].ended
    assert not pair.is_finished


async def test_who_is_retired_says_that_it_knows(pair):
    pair.exchange()
    pair.feed(theirs.PingFrame(0, b"segserve", flags=["ACK"]).serialize())
    pair.session.retire()
    assert not pair.session.heeded
    pair.session.flush()
    ping, away = pair.sent[:17], pair.sent[17:]
    assert (ping[3], away[3]) == (Kind.PING, Kind.GOAWAY)
    pair.feed(theirs.PingFrame(0, bytes(ping[9:]), flags=["ACK"]).serialize())
    assert pair.session.heeded


async def test_leaving_finishes_what_is_open(pair):
    pair.request(b"a", end=False)
    pair.exchange()
    pair.session.leave()
    block = theirs.HeadersFrame(3, b"\x82", flags=["END_HEADERS"]).serialize()
    pair.feed(block)  # came after the last that is taken
    pair.session.flush()
    assert (len(pair.accepted), pair.is_finished, pair.session.done) == (1, False, False)
    pair.feed(theirs.DataFrame(1, b"b", flags=["END_STREAM"]).serialize())
    pair.session.flush()
    assert (pair.is_finished, pair.session.done) == (True, True)


async def test_leaving_with_nothing_open(pair):
    pair.session.leave()
    pair.session.flush()
    assert pair.is_finished


async def test_the_end_and_the_loss(pair):
    pair.request(b"a", end=False)
    pair.request(b"a", end=False)
    pair.exchange()
    first, second = pair.accepted
    first.server_ends = lambda: None
    pair.session.end()
    assert second.server_ended
    pair.session.lose()
    assert first.is_lost
    assert not second.is_lost


HEADERS = theirs.HeadersFrame(1, b"\x82", flags=["END_HEADERS"]).serialize()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (theirs.DataFrame(1, b"x").serialize(), ErrorCode.PROTOCOL_ERROR),
        (theirs.RstStreamFrame(1).serialize(), ErrorCode.PROTOCOL_ERROR),
        (HEADERS[:8] + b"\x02" + HEADERS[9:], ErrorCode.PROTOCOL_ERROR),
        (HEADERS + HEADERS, ErrorCode.PROTOCOL_ERROR),
        (HEADERS[:-1] + b"\xff", ErrorCode.COMPRESSION_ERROR),
        (b"\x00\x00\x04\x06" + bytes(5) + b"1234", ErrorCode.FRAME_SIZE_ERROR),
        (theirs.PushPromiseFrame(1, 2, b"").serialize(), ErrorCode.PROTOCOL_ERROR),
        (b"\x00\x00\x04\x08" + bytes(5) + bytes(4), ErrorCode.FLOW_CONTROL_ERROR),
    ],
)
async def test_frames_that_break_rules(pair, data, code):
    fault = pair.fault(data)
    assert fault.code is code
    pair.session.fail(fault)
    assert fault.text.encode() in pair.sent


async def test_frames_that_are_ignored(pair):
    pair.feed(b"\x00\x00\x02\xfa" + bytes(5) + b"ab")
    pair.feed(theirs.PriorityFrame(1, depends_on=3).serialize())
    pair.feed(theirs.GoAwayFrame(0).serialize())
    assert body(pair.exchange(), pair.request(b"x")) == b""
    assert len(pair.accepted) == 0
    assert body(pair.exchange(), 1) == b"x"


@pytest.mark.parametrize("frame", [HEADERS, theirs.PingFrame(0, b"12345678").serialize()])
async def test_settings_come_first(new_pair, frame):
    pair = new_pair()
    pair.client.data_to_send()
    pair.feed(PREFACE)
    with pytest.raises(ConnectionFault):
        pair.feed(frame)
    assert not pair.is_shaken
