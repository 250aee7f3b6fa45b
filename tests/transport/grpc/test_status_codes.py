"""Statuses as trailers."""

from urllib.parse import unquote

import grpc
import hpack
import pytest

from segserve.transport.grpc import status_codes


def decoded(block):
    return dict(hpack.Decoder().decode(block))


def test_numbers_are_those_of_grpc():
    assert {code.name: code.value[0] for code in grpc.StatusCode} == status_codes.CODES


@pytest.mark.parametrize("text", ["plain", "100 %", "Größe\n\t\x00\x7f", "x" * 5000, ""])
def test_trailers(text):
    told = decoded(status_codes.trailers("NOT_FOUND", text, (("retry-after-ms", "5"),)))
    assert told["grpc-status"] == "5"
    assert unquote(told["grpc-message"]) == text
    assert told["grpc-message"].isascii()
    assert told["retry-after-ms"] == "5"


def test_constant_blocks():
    head = decoded(status_codes.HEAD)
    assert (head[":status"], head["content-type"]) == ("200", "application/grpc")
    assert decoded(status_codes.OK) == {"grpc-status": "0"}
