"""Request bodies: bounded, and decompressed as they come."""

from __future__ import annotations

import zlib

from starlette.requests import Request

from segserve.core.errors import InvalidInput, TooLarge, Unsupported

_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_COMPRESSION_LEVEL = 1
MIN_COMPRESSED_BYTES = 1024


class _Bounded:
    """Collects a body up to a limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self.left_bytes = limit_bytes

    def add(self, part: bytes) -> None:
        """Add a part.

        Raises
        ------
        TooLarge
            When the body is over the limit with it.
        """
        self.left_bytes -= len(part)
        if self.left_bytes < 0:
            raise _too_large(self._limit_bytes)
        self._parts.append(part)

    def whole(self) -> bytes:
        """Give all that was added."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(
        f"the request is larger than {limit_bytes} bytes: send less, or start the server with a "
        f"larger --max-request-bytes"
    )


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read a body, decompressing it by its Content-Encoding (gzip, or deflate as a zlib stream).

    Raises
    ------
    TooLarge
        When the body, compressed or not, is over the limit; the rest is not kept.
    InvalidInput, Unsupported
        For a broken stream, or an unknown encoding.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    body = _Bounded(limit_bytes)
    if encoding in ("", "identity"):
        async for part in request.stream():
            body.add(part)
        return body.whole()
    window = _WINDOWS.get(encoding)
    if window is None:
        raise Unsupported(
            f"content-encoding '{encoding}' is not supported; expected gzip, deflate or identity"
        )
    await _inflate(request, body, zlib.decompressobj(window))
    return body.whole()


async def _inflate(request: Request, body: _Bounded, stream: zlib._Decompress) -> None:
    try:
        async for part in request.stream():
            body.add(stream.decompress(part, body.left_bytes + 1))
        body.add(stream.flush())
    except zlib.error as error:
        raise InvalidInput(f"the compressed request cannot be read: {error}") from None
    if not stream.eof:
        raise InvalidInput("the compressed request ends too early")


def compressed(data: bytes, accept_encoding: str) -> tuple[bytes, str]:
    """Compress an answer by the first encoding that both sides know.

    Returns
    -------
    tuple of bytes and str
        The data, and the Content-Encoding, which is empty when the data are as they were: nothing
        known was accepted, or they are shorter than `MIN_COMPRESSED_BYTES`.
    """
    if len(data) < MIN_COMPRESSED_BYTES:
        return data, ""
    for choice in accept_encoding.lower().split(","):
        name, _, quality = choice.replace(" ", "").partition(";q=")
        if name in ("gzip", "deflate") and quality not in ("0", "0.0", "0.00", "0.000"):
            stream = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_WINDOWS[name])
            return stream.compress(data) + stream.flush(), name
    return data, ""
