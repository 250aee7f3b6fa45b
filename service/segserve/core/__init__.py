"""segserve.core."""
