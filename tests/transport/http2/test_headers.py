"""Header blocks, against the hpack library."""

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.transport.http2.frames import ConnectionFault, ErrorCode
from segserve.transport.http2.headers import MAX_LIST_BYTES, HeaderReader, written

TEXTS = st.binary(max_size=300)
NAMES = st.sampled_from([b":path", b"te", b"grpc-timeout", b"x-a", b"x-b"])
SIZES = st.sampled_from([None, 0, 100, 4096])
LISTS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"1", b"2", b"v" * 90])), max_size=4)


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=5))
def test_written(headers):
    told = hpack.Decoder(10**6).decode(written(headers), raw=True)
    assert [tuple(pair) for pair in told] == headers


@settings(max_examples=200)
@given(st.lists(st.tuples(LISTS, st.booleans(), SIZES), max_size=30))
def test_what_was_kept_stays_true(blocks):
    """Two readers: the one under test, and the library without anything kept."""
    encoder, plain, reader = hpack.Encoder(), hpack.Decoder(), HeaderReader()
    for headers, huffman, table_bytes in blocks:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        block = encoder.encode(headers, huffman=huffman)
        expected = tuple((name, value) for name, value in plain.decode(block, raw=True))
        assert reader.read(block) == expected


def test_a_block_that_comes_again_is_not_read_again():
    encoder, reader = hpack.Encoder(), HeaderReader()
    headers = [(b":path", b"/a/B"), (b"te", b"trailers")]
    first, second, third = (encoder.encode(headers) for _ in range(3))
    assert first != second == third
    told = [reader.read(block) for block in (first, second, third)]
    assert told[1] is told[2]
    assert told[0] == told[1] == tuple(headers)


def test_broken():
    with pytest.raises(ConnectionFault) as caught:
        HeaderReader().read(b"\xff\xff\xff")
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_headers_over_the_limit():
    encoder = hpack.Encoder()
    block = encoder.encode([(b"x", b"v" * 4000)] * 9)
    assert len(block) < MAX_LIST_BYTES
    with pytest.raises(ConnectionFault) as caught:
        HeaderReader().read(block)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
