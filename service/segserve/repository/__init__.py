"""segserve.repository."""
