"""segserve.generated.segserve.v1."""
