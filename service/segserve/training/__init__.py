"""segserve.training."""
