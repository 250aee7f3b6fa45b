"""Header blocks: RFC 7541.

Reading is the `hpack` library's work. Clients send the same few blocks again and again, as rows of
references into a table that no longer changes, so what such a block meant is kept; writing never
touches the peer's table.
"""

from __future__ import annotations

from collections.abc import Iterable

import hpack

from segserve.transport.http2.frames import ConnectionFault, ErrorCode

Headers = tuple[tuple[bytes, bytes], ...]
MAX_LIST_BYTES = 32_768
_MAX_KEPT = 64
_KEPT_BLOCK_BYTES = 1024
_MAX_TEXT = 200
_SIZE_UPDATE, _SIZE_UPDATE_MASK = 0x20, 0xE0
_LITERAL, _LONG = b"\x00", 0x7F


class HeaderReader:
    """Reads the header blocks of one connection, in order."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(MAX_LIST_BYTES)
        self._kept: dict[bytes, Headers] = {}

    def read(self, block: bytes) -> Headers:
        """Read a whole block.

        Raises
        ------
        ConnectionFault
            When it is broken, or its headers are longer than `MAX_LIST_BYTES`: what follows on
            the connection could not be read.
        """
        kept = self._kept.get(block)
        if kept is not None:
            return kept
        before, newest = self._table()
        try:
            headers = tuple((name, value) for name, value in self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError:
            text = f"headers over {MAX_LIST_BYTES} bytes"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text) from None
        except hpack.HPACKError as error:
            text = f"broken headers: {error}"[:_MAX_TEXT]
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text) from None
        after, front = self._table()
        self._keep(block, headers, unchanged=before == after and newest is front)
        return headers

    def _keep(self, block: bytes, headers: Headers, *, unchanged: bool) -> None:
        # A resize shows not in the table's entries, but in what later blocks put there.
        resizes = bool(block) and block[0] & _SIZE_UPDATE_MASK == _SIZE_UPDATE
        if resizes or not unchanged:
            self._kept.clear()
            return
        if len(block) <= _KEPT_BLOCK_BYTES:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[block] = headers

    def _table(self) -> tuple[int, object]:
        """Tell one state of the table from the next: entries come in front, and leave behind."""
        entries = self._decoder.header_table.dynamic_entries
        return len(entries), entries[0] if entries else None


def written(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write headers as literals that enter no table."""
    parts: list[bytes] = []
    for name, value in headers:
        parts += (_LITERAL, _length(len(name)), name, _length(len(value)), value)
    return b"".join(parts)


def _length(number: int) -> bytes:
    """Write a string's length: an integer with a prefix of seven bits, no Huffman code."""
    if number < _LONG:
        return bytes((number,))
    out = bytearray((_LONG,))
    number -= _LONG
    while number >= 0x80:  # noqa: PLR2004  seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
