"""segserve.export."""
