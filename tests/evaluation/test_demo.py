"""The bundled model on a sample of the held-out scenes."""

import numpy as np
import pytest
from PIL import Image

from segserve.evaluation.demo import FIRST_SEED, GOAL_MEAN_IOU, held_out, table
from segserve.evaluation.semantic import ConfusionMatrix
from segserve.scenes import CLASS_NAMES


def test_held_out_seeds_are_not_training_seeds():
    assert FIRST_SEED + 100_000 < 1_000_000


def test_the_table_names_every_class():
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    labels = np.arange(len(CLASS_NAMES))
    matrix.add(labels, labels)
    text = table(matrix.scores())
    assert all(name in text for name in CLASS_NAMES)
    assert "mean IoU      1.0000" in text


def test_the_bundled_model_reaches_its_goal_on_a_sample(repo_root):
    """Network input as the served rule makes it, without the server: a resize to a bucket."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the cpu extra: make demo")
    path = repo_root / "model_repository" / "deeplabv3plus_demo" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for scene in held_out(12):
        height, width = scene.labels.shape
        scale = 320 / max(height, width)
        size = (round(width * scale), round(height * scale))
        small = np.asarray(Image.fromarray(scene.image).resize(size, Image.Resampling.BILINEAR))
        inputs = ((small / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
        logits = session.run(None, {"image": inputs})[0][0]
        planes = [np.asarray(Image.fromarray(p).resize((width, height), 2)) for p in logits]
        matrix.add(scene.labels, np.argmax(planes, axis=0))
    assert matrix.scores().mean_iou >= GOAL_MEAN_IOU
