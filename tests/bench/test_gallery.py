"""Every segmenter without weights is drawn on one photograph."""

import sys

import numpy as np
from loadtests import gallery
from PIL import Image

from segserve.ops.classical.catalogue import SEGMENTERS


def test_gallery(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gallery", "--out", str(tmp_path)])
    assert gallery.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SEGMENTERS)
    assert all(int(line.split()[4]) >= 1 for line in lines)
    for name in SEGMENTERS:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == gallery.SIZE_PX
            assert np.asarray(picture).std() > 1
