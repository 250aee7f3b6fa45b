"""segserve.families."""
