"""segserve.scheduling."""
