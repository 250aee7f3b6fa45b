"""`make bench-kernels`: every kernel of Segserve against what a user could install instead."""
