"""segserve.generated.segserve."""
