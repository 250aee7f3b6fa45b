"""segserve.transport.http2."""
