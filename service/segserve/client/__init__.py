"""segserve.client."""
