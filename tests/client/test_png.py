"""Label maps out of PNG, against Pillow and against every row filter."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segserve.client.errors import SegserveError
from segserve.client.png import read_label_map

LABELS = np.random.default_rng(3).integers(0, 256, (23, 31), dtype=np.uint8)


def by_pillow(image, **options):
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def by_hand(rows, *, colour=0, depth=8, interlace=0, size=None):
    """Write filtered rows, each with its filter byte in front."""
    width, height = size or (len(rows[0]) - 1, len(rows))

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    packed = zlib.compress(b"".join(map(bytes, rows)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = chunk(b"IDAT", packed[:5]) + chunk(b"IDAT", packed[5:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + parts + chunk(b"IEND", b"")


def test_grey():
    assert np.array_equal(read_label_map(by_pillow(Image.fromarray(LABELS))), LABELS)


def test_palette_gives_indices():
    image = Image.fromarray(LABELS).convert("P")
    image.putdata(LABELS.ravel().tolist())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    decoded = read_label_map(by_pillow(image))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(image))


def test_sixteen_bits():
    labels = (LABELS.astype(np.uint16) * 257) ^ np.arange(31, dtype=np.uint16)
    decoded = read_label_map(by_pillow(Image.fromarray(labels)))
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, labels)


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    if pa <= pb and pa <= pc:
        return a
    return b if pb <= pc else c


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("pixel_bytes", [1, 2])
def test_every_row_filter(kind, pixel_bytes):
    pixels = LABELS[:, :30].astype(int)
    rows = []
    for y, row in enumerate(pixels):
        above = pixels[y - 1] if y else np.zeros_like(row)
        out = [kind]
        for x, value in enumerate(row):
            left = row[x - pixel_bytes] if x >= pixel_bytes else 0
            corner = above[x - pixel_bytes] if x >= pixel_bytes else 0
            guess = [0, left, above[x], (left + above[x]) // 2, paeth(left, above[x], corner)]
            out.append(int(value - guess[kind]) % 256)
        rows.append(out)
    data = by_hand(rows, depth=8 * pixel_bytes, size=(30 // pixel_bytes, len(rows)))
    decoded = read_label_map(data)
    expected = pixels if pixel_bytes == 1 else pixels[:, ::2] * 256 + pixels[:, 1::2]
    assert np.array_equal(decoded, expected)


GOOD = by_hand([[0, 1, 2], [0, 3, 4]])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GIF89a", "not a PNG"),
        (b"", "not a PNG"),
        (GOOD[:8], "no header"),
        (GOOD[:-20], "damaged|holds"),
        (GOOD[:45] + b"\x00" + GOOD[46:], "damaged"),
        (by_hand([[0, 1, 2]], colour=2), "colour type 2"),
        (by_hand([[0, 1, 2]], depth=4), "4 bits"),
        (by_hand([[0, 1, 2]], interlace=1), "interlace 1"),
        (by_hand([[9, 1, 2]]), "unknown row filter 9"),
        (by_hand([[0, 1, 2]], size=(2, 5)), "holds 3 bytes of pixels, expected 15"),
        (by_hand([[0] * 101] * 100, size=(2, 2)), "holds 7 bytes of pixels, expected 6"),
    ],
)
def test_what_is_refused(data, reason):
    with pytest.raises(SegserveError, match=reason):
        read_label_map(data)
