"""segserve.cli."""
