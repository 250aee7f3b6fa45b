"""segserve.observability."""
