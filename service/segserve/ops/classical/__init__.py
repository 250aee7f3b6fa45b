"""Segmentation without weights: clustering, graphs, superpixels, contours, proposals."""
