"""segserve.generated."""
