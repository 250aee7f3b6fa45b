"""Results become a data set that pycocotools reads."""

import json

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segserve.client.coco import to_coco
from segserve.client.masks import mask_to_rle
from segserve.client.result import EncodedMap, Region, Segment, SegmentResult

MASK = np.zeros((20, 30), bool)
MASK[4:9, 10:25] = True


def results():
    rle = mask_to_rle(MASK)
    things = (Region((10.0, 4.0, 25.0, 9.0), 0.75, 3, "cat", int(MASK.sum()), rle),)
    stuff = (
        Segment(5, 5, "sky", int(MASK.sum()), mask=rle),
        Segment(6, 6, "sea", 2),
    )
    return {
        "a.jpg": SegmentResult("m", 1, "", "", 30, 20, regions=things),
        "b.jpg": SegmentResult("m", 1, "", "", 30, 20, segments=stuff, map=EncodedMap(20, 30)),
    }


def test_pycocotools_reads_it(tmp_path, capsys):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(to_coco(results())))
    data = COCO(path)
    capsys.readouterr()
    assert {i["file_name"] for i in data.loadImgs(data.getImgIds())} == {"a.jpg", "b.jpg"}
    assert {c["id"]: c["name"] for c in data.loadCats(data.getCatIds())} == {
        3: "cat",
        5: "sky",
        6: "sea",
    }
    (cat,) = data.loadAnns(data.getAnnIds(catIds=[3]))
    assert cat["bbox"] == [10, 4, 15, 5]
    assert cat["score"] == 0.75
    assert coco_mask.area(cat["segmentation"]) == cat["area"] == MASK.sum()
    (sky,) = data.loadAnns(data.getAnnIds(catIds=[5]))
    assert sky["bbox"] == [10, 4, 15, 5]
    assert "score" not in sky
    (sea,) = data.loadAnns(data.getAnnIds(catIds=[6]))
    assert "segmentation" not in sea
    assert sea["area"] == 2


def test_nothing_gives_empty_lists():
    assert to_coco({}) == {"images": [], "annotations": [], "categories": []}
