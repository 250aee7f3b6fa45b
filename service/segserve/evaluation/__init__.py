"""segserve.evaluation."""
