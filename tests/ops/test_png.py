"""Label maps as PNG: ids come back whatever the colours."""

import io

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.ops.png import encode_label_png, voc_palette


def read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_ids_come_back() -> None:
    labels = np.random.default_rng(0).integers(0, 256, (13, 17)).astype(np.uint8)
    image = read(encode_label_png(labels))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)


def test_many_ids_come_back() -> None:
    labels = np.array([[0, 300], [65535, 256]], np.uint16)
    np.testing.assert_array_equal(np.asarray(read(encode_label_png(labels))), labels)


def test_colours() -> None:
    assert voc_palette()[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert voc_palette()[15] == (192, 128, 128)
    assert voc_palette()[255] == (224, 224, 192)
    labels = np.array([[0, 1, 15]], np.uint8)
    colours = np.asarray(read(encode_label_png(labels, ((1, 2, 3), (4, 5, 6)))).convert("RGB"))
    assert colours.tolist() == [[[1, 2, 3], [4, 5, 6], [192, 128, 128]]]


def test_any_strides() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    np.testing.assert_array_equal(np.asarray(read(encode_label_png(labels))), labels)


def test_wrong_input_is_named() -> None:
    for labels in (np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)):
        with pytest.raises(InvalidInput, match="label map"):
            encode_label_png(labels)
