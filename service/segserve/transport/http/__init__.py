"""segserve.transport.http."""
