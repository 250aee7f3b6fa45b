"""segserve.generated.inference."""
