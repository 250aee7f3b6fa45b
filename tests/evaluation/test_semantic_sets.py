"""Each data set in its official folders, tiny."""

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import NotFound
from segserve.evaluation.semantic import IGNORED, ConfusionMatrix
from segserve.evaluation.semantic_sets import (
    CITYSCAPES_IDS,
    CITYSCAPES_NAMES,
    FIRST_SEED,
    VOC_NAMES,
    open_ade20k,
    open_cityscapes,
    open_voc,
    read_labels_png,
    scene,
    synthetic_scenes,
)
from segserve.scenes import CLASS_NAMES


def write(path, labels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(labels, np.uint8))
    if palette:
        image.putpalette(palette)
    image.save(path)


@pytest.mark.parametrize("nested", [True, False])
def test_voc(tmp_path, nested):
    folder = tmp_path / "VOC2012" if nested else tmp_path
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2007_000033\n2007_000042\n")
    colours = [n * 7 % 256 for n in range(768)]
    for n, name in enumerate(("2007_000033", "2007_000042", "2007_000999")):
        write(folder / "SegmentationClass" / f"{name}.png", [[0, 15, 255, n]], colours)
    data = open_voc(tmp_path)
    assert [image.name for image in data.images] == ["2007_000033", "2007_000042"]
    assert data.images[1].read_truth().tolist() == [[0, 15, IGNORED, 1]]
    assert data.images[0].read_picture() == folder / "JPEGImages" / "2007_000033.jpg"
    assert (len(data.class_names), data.class_names[15]) == (21, "person")
    assert data.class_names is VOC_NAMES


def test_voc_names_are_the_recipes():
    from segserve.export.recipes.deeplabv3plus import VOC_LABELS

    assert VOC_NAMES == VOC_LABELS


def test_cityscapes(tmp_path):
    stem = "frankfurt_000000_000294"
    write(tmp_path / "leftImg8bit/val/frankfurt" / f"{stem}_leftImg8bit.png", [[0]])
    write(tmp_path / "leftImg8bit/train/aachen/aachen_1_leftImg8bit.png", [[0]])
    ids = [[0, 6, 7, 8, 33, 26, 29, 255]]
    write(tmp_path / "gtFine/val/frankfurt" / f"{stem}_gtFine_labelIds.png", ids)
    data = open_cityscapes(tmp_path)
    (image,) = data.images
    assert image.name == stem
    assert image.read_picture().name == f"{stem}_leftImg8bit.png"
    assert image.read_truth().tolist() == [[255, 255, 0, 1, 18, 13, 255, 255]]
    assert len(CITYSCAPES_IDS) == len(CITYSCAPES_NAMES) == 19
    assert (data.class_names[13], data.class_names[18]) == ("car", "bicycle")


def test_ade20k(tmp_path):
    write(tmp_path / "images/validation/ADE_val_00000001.jpg", [[0]])
    write(tmp_path / "annotations/validation/ADE_val_00000001.png", [[0, 1, 150, 151]])
    rows = [f"{n}\t0.1\t10\t1\tname {n}, other" for n in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio", *rows]) + "\n")
    data = open_ade20k(tmp_path)
    assert data.images[0].read_truth().tolist() == [[IGNORED, 0, 149, IGNORED]]
    assert (len(data.class_names), data.class_names[0]) == (150, "name 1, other")


@pytest.mark.parametrize("open_set", [open_voc, open_cityscapes, open_ade20k])
def test_a_wrong_folder_is_named(open_set, tmp_path):
    with pytest.raises(NotFound, match=r"is not there: is --root"):
        open_set(tmp_path)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "leftImg8bit" / "val").mkdir(parents=True)
    with pytest.raises(NotFound, match="holds no images"):
        open_cityscapes(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    with pytest.raises(NotFound, match="holds no images"):
        open_voc(tmp_path)


def test_scenes():
    data = synthetic_scenes(3)
    assert [image.name for image in data.images] == ["scene 0", "scene 1", "scene 2"]
    third = data.images[2]
    assert np.array_equal(third.read_picture(), scene(2).image)
    assert np.array_equal(third.read_truth(), scene(2).labels)


def test_palette_indices_are_labels_not_colours(tmp_path):
    write(tmp_path / "a.png", [[3, 200]], [n % 256 for n in range(768)])
    assert read_labels_png(tmp_path / "a.png").tolist() == [[3, 200]]
    with pytest.raises(NotFound, match=r"b\.png is not there"):
        read_labels_png(tmp_path / "b.png")


def test_held_out_seeds_are_not_training_seeds():
    assert FIRST_SEED + 100_000 < 1_000_000


def test_the_bundled_model_reaches_its_goal_on_a_sample(repo_root):
    """Network input as the served rule makes it, without the server: a resize to a bucket."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the cpu extra: make demo")
    path = repo_root / "model_repository" / "deeplabv3plus_demo" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for held_out in map(scene, range(12)):
        height, width = held_out.labels.shape
        scale = 320 / max(height, width)
        size = (round(width * scale), round(height * scale))
        small = np.asarray(Image.fromarray(held_out.image).resize(size, Image.Resampling.BILINEAR))
        inputs = ((small / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
        logits = session.run(None, {"image": inputs})[0][0]
        planes = [np.asarray(Image.fromarray(p).resize((width, height), 2)) for p in logits]
        matrix.add(held_out.labels, np.argmax(planes, axis=0))
    assert matrix.scores().mean_iou >= 0.85
