"""segserve.scenes."""
