"""Answers find their images."""

import pytest

from segserve.client.errors import SegserveError
from segserve.client.stream_ledger import StreamLedger
from segserve.core.errors import ErrorKind
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


def message(request_id):
    return pb.SegmentStreamResponse(id=request_id, response=pb.SegmentResponse(model_name="m"))


def test_an_answer_settles_its_image():
    ledger = StreamLedger()
    ledger.sent(5)
    with pytest.raises(SegserveError, match="1 images"):
        ledger.check_complete()
    with pytest.raises(SegserveError, match="2 s"):
        ledger.check_silence(2.0)
    answer = ledger.answered(message("5"))
    assert (answer.index, answer.result.model, answer.error) == (5, "m", None)
    ledger.check_complete()
    ledger.check_silence(2.0)


@pytest.mark.parametrize("request_id", ["6", "", "x", "5 "])
def test_an_unknown_id_is_an_error(request_id):
    ledger = StreamLedger()
    ledger.sent(5)
    with pytest.raises(SegserveError, match="unknown id"):
        ledger.answered(message(request_id))


def test_an_answer_comes_once():
    ledger = StreamLedger()
    ledger.sent(5)
    ledger.answered(message("5"))
    with pytest.raises(SegserveError, match="unknown id"):
        ledger.answered(message("5"))


def test_an_unreadable_answer_is_that_images_error():
    ledger = StreamLedger()
    ledger.sent(0)
    broken = pb.SegmentResponse(regions=pb.Regions(scores=[1.0]))
    answer = ledger.answered(pb.SegmentStreamResponse(id="0", response=broken))
    assert answer.error.kind is ErrorKind.INTERNAL
