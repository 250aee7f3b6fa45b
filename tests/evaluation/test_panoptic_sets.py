"""COCO's panoptic folders, tiny."""

import json

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput, NotFound
from segserve.evaluation.panoptic_quality import PanopticSegment
from segserve.evaluation.panoptic_sets import open_coco_panoptic

TOLD = {
    "images": [{"id": 9, "file_name": "000000000009.jpg", "height": 1, "width": 3}],
    "annotations": [
        {
            "image_id": 9,
            "file_name": "000000000009.png",
            "segments_info": [
                {"id": 258, "category_id": 1, "iscrowd": 1},
                {"id": 7, "category_id": 199},
            ],
        }
    ],
    "categories": [
        {"id": 1, "name": "person", "isthing": 1},
        {"id": 199, "name": "wall-other-merged", "isthing": 0},
    ],
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "panoptic_val2017.json").write_text(json.dumps(TOLD))
    return tmp_path


def test_a_map_and_its_segments(root):
    (root / "annotations" / "panoptic_val2017").mkdir()
    colours = np.array([[[2, 1, 0], [7, 0, 0], [0, 0, 0]]], np.uint8)
    Image.fromarray(colours).save(root / "annotations/panoptic_val2017/000000000009.png")
    data = open_coco_panoptic(root)
    assert data.category_ids == {"person": 1, "wall-other-merged": 199}
    assert data.things == {1}
    (image,) = data.images
    assert image.read_picture() == root / "val2017" / "000000000009.jpg"
    ids, segments = image.read_truth()
    assert ids.tolist() == [[258, 7, 0]]
    assert segments == (PanopticSegment(258, 1, is_crowd=True), PanopticSegment(7, 199))


def test_maps_that_are_not_there(root):
    (image,) = open_coco_panoptic(root).images
    with pytest.raises(NotFound, match="unpack the panoptic maps"):
        image.read_truth()


def test_an_annotation_of_another_image_is_named(root):
    strange = TOLD | {"annotations": [TOLD["annotations"][0] | {"image_id": 8}]}
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(strange))
    with pytest.raises(InvalidInput, match="of image 8, which is not among the images"):
        open_coco_panoptic(root)
