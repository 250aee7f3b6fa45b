"""An engine over a folder of tiny real models, without any protocol."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from segserve.execution.cpu_pool import CpuPool
from segserve.execution.waiting_room import RoomLimits, WaitingRoom
from segserve.observability.metrics import Metrics
from segserve.observability.tracing import NoTracer
from segserve.repository.store import RepositoryStore
from segserve.scheduling.admission import Admission
from segserve.serving.control import ControlPolicy, ModelControl
from segserve.serving.cpu_side import CpuSide
from segserve.serving.engine import Engine, ServerIdentity
from segserve.serving.loader import Loader
from segserve.serving.refine_queue import RefineLimits, RefineQueue
from segserve.serving.registry import Registry

BRIGHT_CONFIG = """
max_batch_size: 4
dynamic_batching { }
parameters { key: "family" value { string_value: "semantic" } }
parameters { key: "channel_order" value { string_value: "rgb" } }
parameters { key: "scale" value { string_value: "1/255" } }
parameters { key: "mean" value { string_value: "0.5,0.5,0.5" } }
parameters { key: "std" value { string_value: "0.5,0.5,0.5" } }
parameters { key: "resize" value { string_value: "none" } }
parameters { key: "shape_policy" value { string_value: "exact" } }
parameters { key: "warm_sizes" value { string_value: "16x16" } }
"""


def save(folder: Path, name, graph, version=1):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / name / str(version)
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    return folder / name


def write_scale(folder: Path, name="scale", version=1, factor=2.0):
    """FP32 [n, d] times `factor`."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "f"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "d"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "d"])],
        [helper.make_tensor("f", TensorProto.FLOAT, [], [factor])],
    )
    return save(folder, name, graph, version)


def write_bright(folder: Path, name="bright"):
    """A semantic model: class 1 where the 4x4 block's mean is above mid grey, else class 0."""
    weights = np.array([[0, 0, 0], [1, 1, 1]], np.float32).reshape(2, 3, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["image"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["p", "w"], ["logits"]),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w_"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, "h4", "w4"])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    path = save(folder, name, graph)
    (path / "config.pbtxt").write_text(BRIGHT_CONFIG)
    (path / "labels.txt").write_text("dark\nbright\n")
    return path


class House:
    """Everything that an engine needs, on one event loop."""

    def __init__(self, repository: Path, mode="none", **policy):
        self.repository = repository
        self.pool = CpuPool(2)
        self.metrics = Metrics()
        self.registry = Registry(drain_timeout_s=5.0)
        room = WaitingRoom(RoomLimits(max_bytes=policy.get("room_bytes", 2 << 30)))
        self.cpu = CpuSide(self.pool, CpuPool(1), room, RefineQueue(RefineLimits()))
        loader = Loader(self.cpu, self.metrics, max_image_pixels=1_000_000, auto_complete=True)
        self.control = ModelControl(
            ControlPolicy(mode, policy.get("poll_s", 0.02), policy.get("load", ()), 2),
            RepositoryStore([repository]),
            loader,
            self.registry,
        )
        self.admission = Admission(max_bytes=policy.get("max_bytes", 10**8), max_requests=100)
        identity = ServerIdentity("segserve", "0.0", strict_readiness=True)
        self.engine = Engine(identity, self.registry, self.control, self.admission, NoTracer())

    async def close(self):
        await self.engine.stop()
        await self.cpu.close()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
async def open_house(repository):
    """Gives ``await open_house(mode=...)``: a started house over `repository`."""
    houses = []

    async def start(mode="none", **policy):
        houses.append(House(repository, mode, **policy))
        await houses[-1].control.start()
        return houses[-1]

    yield start
    for house in houses:
        await house.close()


@pytest.fixture
def writers():
    class Writers:
        scale = staticmethod(write_scale)
        bright = staticmethod(write_bright)

    return Writers
