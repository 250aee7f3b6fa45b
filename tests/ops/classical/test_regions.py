"""Connected pieces, neighbours, means: answers typed out."""

import numpy as np

from segserve.ops.classical.regions import connected_pieces, neighbour_pairs, region_means

MAP = np.array([[1, 1, 2], [3, 1, 2], [3, 3, 1]])


def test_pieces_are_numbered_in_scan_order() -> None:
    assert connected_pieces(MAP).tolist() == [[0, 0, 1], [2, 0, 1], [2, 2, 3]]


def test_small_pieces_join_the_one_before() -> None:
    assert connected_pieces(MAP, 2).tolist() == [[0, 0, 1], [2, 0, 1], [2, 2, 2]]


def test_one_pixel() -> None:
    assert connected_pieces(np.array([[9]]), 5).tolist() == [[0]]


def test_neighbours_are_listed_once() -> None:
    pieces = connected_pieces(MAP)
    assert neighbour_pairs(pieces).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert neighbour_pairs(np.zeros((3, 3), int)).shape == (0, 2)


def test_means() -> None:
    labels = np.array([[0, 0, 1]], np.int32)
    planes = np.array([[[1.0, 3.0, 5.0]], [[0.0, 0.0, 9.0]]])
    assert region_means(labels, planes).tolist() == [[2, 0], [5, 9]]
