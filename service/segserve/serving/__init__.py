"""segserve.serving."""
