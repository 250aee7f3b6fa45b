"""segserve.execution."""
