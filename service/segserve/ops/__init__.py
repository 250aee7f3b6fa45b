"""segserve.ops."""
