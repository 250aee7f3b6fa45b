"""Many images over one blocking stream."""

import threading
import time

import grpc
import numpy as np
import pytest

from segserve.client import Client, ErrorKind, SegserveError
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


@pytest.fixture
def client(server):
    with Client(server.address, timeout_s=20) as connected:
        yield connected


def by_index(answers):
    found = {answer.index: answer for answer in answers}
    return [found[n] for n in sorted(found)]


def test_all_images_are_answered(client):
    answers = by_index(client.segment_many([b"x"] * 50, "m", in_flight=4))
    assert [answer.index for answer in answers] == list(range(50))
    assert all(answer.result.model == "m" and answer.error is None for answer in answers)


def test_answers_out_of_order_find_their_images(client, server):
    def backwards(requests, context):
        for message in reversed([m.request for m in requests]):
            response = pb.SegmentResponse(model_name=message.encoded.decode())
            yield pb.SegmentStreamResponse(id=message.id, response=response)

    server.on_stream = backwards
    answers = list(client.segment_many([b"a", b"b", b"c"], "m"))
    assert [(a.index, a.result.model) for a in answers] == [(2, "c"), (1, "b"), (0, "a")]


def test_a_failed_image_is_a_value(client, server, tmp_path):
    def second_fails(requests, context):
        for message in requests:
            answer = pb.SegmentStreamResponse(id=message.request.id)
            if message.request.encoded == b"bad":
                answer.error.kind = pb.ERROR_KIND_INVALID_ARGUMENT
                answer.error.message = "no image"
            else:
                answer.response.model_name = "m"
            yield answer

    server.on_stream = second_fails
    pictures = [b"good", b"bad", tmp_path / "missing.jpg", np.zeros(3, np.uint8), b"good"]
    answers = by_index(client.segment_many(pictures, "m"))
    assert [a.error and a.error.message.split(":")[0].split(" '")[0] for a in answers] == [
        None,
        "no image",
        "cannot read",
        "an image array is uint8 [H, W, 3] in RGB, got uint8 [3]",
        None,
    ]
    assert answers[1].error.kind is ErrorKind.INVALID_ARGUMENT


def test_at_most_so_many_are_in_flight(client, server):
    most, now, lock = [0], [0], threading.Lock()

    def slow(requests, context):
        waiting = []
        for message in requests:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            waiting.append(message.request.id)
            if len(waiting) == 3:
                for request_id in waiting:
                    with lock:
                        now[0] -= 1
                    yield pb.SegmentStreamResponse(id=request_id, response=pb.SegmentResponse())
                waiting = []

    server.on_stream = slow
    drawn = []
    pictures = (drawn.append(n) or b"x" for n in range(30))
    for answers, _ in enumerate(client.segment_many(pictures, "m", in_flight=3), 1):
        assert len(drawn) <= answers + 4
    assert most[0] <= 3


def test_leaving_the_loop_cancels(client, server):
    ended = threading.Event()

    def forever(requests, context):
        context.add_callback(ended.set)
        yield from server.answer_each(requests, context)

    server.on_stream = forever
    for _ in client.segment_many(iter(lambda: b"x", None), "m"):
        break
    assert ended.wait(5)


def test_a_broken_stream_raises_and_is_not_repeated(client, server):
    calls = []

    def breaks(requests, context):
        calls.append(1)
        yield from server.answer_each([next(requests)], context)
        context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    server.on_stream = breaks
    seen = []
    with pytest.raises(SegserveError, match="going away") as caught:
        seen.extend(client.segment_many([b"x"] * 5, "m"))
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert len(calls) == 1


def test_a_stream_that_ends_early_raises(client, server):
    server.on_stream = lambda requests, context: iter(())
    with pytest.raises(SegserveError, match="unanswered"):
        list(client.segment_many([b"x"] * 3, "m"))


def test_silence_raises(server):
    server.on_stream = lambda requests, context: (time.sleep(3) or m for m in requests)
    with (
        Client(server.address, timeout_s=0.3) as client,
        pytest.raises(SegserveError, match=r"no answer for 0\.3 s") as caught,
    ):
        list(client.segment_many([b"x"], "m"))
    assert caught.value.kind is ErrorKind.DEADLINE_EXCEEDED


def test_a_slow_source_is_not_silence(server):
    def slow():
        yield b"x"
        time.sleep(0.7)
        yield b"x"

    with Client(server.address, timeout_s=0.2) as client:
        assert len(list(client.segment_many(slow(), "m"))) == 2


def test_what_the_source_raises_is_raised(client):
    def broken():
        yield b"x"
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        list(client.segment_many(broken(), "m"))
