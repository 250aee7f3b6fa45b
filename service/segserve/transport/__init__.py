"""segserve.transport."""
