"""What is sent: JPEG scenes, tensors, and the small models that give them back."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from segserve.generated.inference import grpc_service_pb2
from segserve.generated.segserve.v1 import segmentation_pb2
from segserve.scenes import make_scene

MODEL = "deeplabv3plus_demo"
SEGMENT = "/segserve.v1.Segmentation/Segment"
INFER = "/inference.GRPCInferenceService/ModelInfer"
ONE_SIZE_PX = ((384, 256),)
MIXED_SIZES_PX = ((384, 256), (256, 384), (372, 264), (264, 372), (396, 248), (248, 396))
"""Width and height; all within 1 % of the same pixels, and of the model's two 240 x 320 buckets."""

_IDENTITY = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 0
input [ {{ name: "x" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
output [ {{ name: "y" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
"""


def jpeg(width_px: int, height_px: int, seed: int) -> bytes:
    """Encode a synthetic scene."""
    buffer = io.BytesIO()
    scene = make_scene(seed, height_px, width_px)
    Image.fromarray(scene.image).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_images(folder: Path, sizes_px: Sequence[tuple[int, int]], per_size: int) -> list[Path]:
    """Write JPEG files, the sizes alternating."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(per_size):
        for width_px, height_px in sizes_px:
            path = folder / f"{number}_{width_px}x{height_px}.jpg"
            path.write_bytes(jpeg(width_px, height_px, seed=number))
            paths.append(path)
    return paths


def write_segment_requests(images: Sequence[Path]) -> list[Path]:
    """Write one `segserve.v1` request beside each image: RLE masks at the source's size."""
    paths = []
    for image in images:
        request = segmentation_pb2.SegmentRequest(model_name=MODEL, encoded=image.read_bytes())
        path = image.with_suffix(".segment")
        path.write_bytes(request.SerializeToString())
        paths.append(path)
    return paths


def write_infer_request(path: Path, model: str, size_bytes: int) -> Path:
    """Write a ModelInfer request with one UINT8 tensor of `size_bytes`."""
    request = grpc_service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype="UINT8", shape=[size_bytes])
    data = np.random.default_rng(0).integers(0, 256, size_bytes, dtype=np.uint8)
    request.raw_input_contents.append(data.tobytes())
    path.write_bytes(request.SerializeToString())
    return path


def write_repository(folder: Path, bundled: Path) -> Path:
    """Copy the demo model and add `identity` (all back) and `head` (the first 4 KiB back)."""
    shutil.copytree(bundled / MODEL, folder / MODEL)
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, ["m"])
    ends = (("a", 0), ("b", 4096))
    bounds = [helper.make_tensor(name, TensorProto.INT64, [1], [at]) for name, at in ends]
    nodes = {
        "identity": (helper.make_node("Identity", ["x"], ["y"]), []),
        "head": (helper.make_node("Slice", ["x", "a", "b"], ["y"]), bounds),
    }
    for name, (node, constants) in nodes.items():
        graph = helper.make_graph([node], name, [x], [y], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        (folder / name / "1").mkdir(parents=True)
        onnx.save(model, str(folder / name / "1" / "model.onnx"))
        (folder / name / "config.pbtxt").write_text(_IDENTITY.format(name=name))
    return folder
