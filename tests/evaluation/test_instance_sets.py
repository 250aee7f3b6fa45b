"""COCO in its official folders, tiny, and the scenes."""

import json

import numpy as np
import pytest

from segserve.core.errors import InvalidInput, NotFound
from segserve.evaluation.instance_sets import ids_of_colours, open_coco, synthetic_instances
from segserve.evaluation.semantic_sets import scene
from segserve.ops.rle import decode


@pytest.fixture
def coco(tmp_path):
    square = [1.0, 1, 4, 1, 4, 3, 1, 3]
    told = {
        "images": [
            {"id": 9, "file_name": "000000000009.jpg", "height": 5, "width": 6},
            {"id": 3, "file_name": "000000000003.jpg", "height": 2, "width": 2},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 18,
                "bbox": [1, 1, 3, 2],
                "area": 5.5,
                "iscrowd": 0,
                "segmentation": [square],
            },
            {
                "id": 2,
                "image_id": 9,
                "category_id": 1,
                "bbox": [0, 0, 1, 1],
                "area": 1,
                "iscrowd": 1,
                "segmentation": {"size": [5, 6], "counts": [0, 1, 29]},
            },
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(told))
    return tmp_path


def test_coco(coco):
    data = open_coco(coco)
    assert data.category_ids == {"person": 1, "dog": 18}
    assert [image.image_id for image in data.images] == [3, 9]
    empty, image = data.images
    assert empty.read_truths() == ()
    assert image.read_picture() == coco / "val2017" / "000000000009.jpg"
    dog, crowd = image.read_truths()
    assert (dog.image_id, dog.category_id, dog.area, dog.is_crowd) == (9, 18, 5.5, False)
    assert dog.box == (1, 1, 3, 2)
    assert decode(dog.mask)[1:3, 1:4].all()
    assert decode(dog.mask).sum() == 6
    assert crowd.is_crowd
    assert decode(crowd.mask).sum() == 1


def test_annotations_that_are_not_there(tmp_path):
    with pytest.raises(NotFound, match=r"instances_val2017\.json is not there"):
        open_coco(tmp_path)


@pytest.mark.parametrize(
    ("written", "kind", "said"),
    [
        (b'{"images": [', InvalidInput, "is no JSON, is it damaged"),
        (b"\xff\xfe\x00", InvalidInput, "is no JSON, is it damaged"),
        (b'{"images": [{"id": 1}], "categories": []}', InvalidInput, "holds no annotations"),
        (b"[]", InvalidInput, "holds no images, annotations, categories"),
        (b'{"images": [], "annotations": [], "categories": []}', NotFound, "names no images"),
        (
            b'{"images": [{"id": 1}], "categories": [], "annotations": [{"id": 5, "image_id": 2}]}',
            InvalidInput,
            "annotation 5 is of image 2, which is not among the images",
        ),
    ],
)
def test_annotations_that_are_no_truths(tmp_path, written, kind, said):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_bytes(written)
    with pytest.raises(kind, match=said):
        open_coco(tmp_path)


def test_scenes_as_instances():
    data = synthetic_instances(2)
    assert "background" not in data.category_ids
    image = data.images[1]
    assert np.array_equal(image.read_picture(), scene(1).image)
    drawn, truths = scene(1), image.read_truths()
    union = np.zeros(drawn.labels.shape, bool)
    for truth in truths:
        mask = decode(truth.mask).astype(bool)
        assert mask.sum() == truth.area > 0
        assert set(drawn.labels[mask]) == {truth.category_id}
        x, y, width, height = map(int, truth.box)
        assert mask[y : y + height, x : x + width].sum() == truth.area
        union |= mask
    assert np.array_equal(union, drawn.instances > 0)


def test_colours_are_numbers():
    colours = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [255, 255, 255]]], np.uint8)
    assert ids_of_colours(colours).tolist() == [[1, 256, 65536, 2**24 - 1]]
