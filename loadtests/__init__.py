"""Benchmarks and load: what a server does beyond being right. Run by `make bench`."""
