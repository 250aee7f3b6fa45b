"""The facade over real models: answers, questions, refusals, stopping."""

import asyncio
import json
import threading

import numpy as np
import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    ShuttingDown,
    TooLarge,
    Unsupported,
)
from segserve.core.messages import InferRequest, ModelRef, RawImage, SegmentRequest
from segserve.core.options import MaskFormat, SegmentOptions
from segserve.core.tensor import DataType
from segserve.execution.cpu_pool import Priority

SCALE = ModelRef("scale")


def infer(values, **fields):
    return InferRequest(model=SCALE, inputs={"x": np.array(values, np.float32)}, **fields)


def picture(model="bright", **fields):
    """Dark on the left, bright on the right."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    return SegmentRequest(model=ModelRef(model), image=RawImage(pixels), **fields)


async def test_tensors(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house()
    answer = await house.engine.infer(infer([[1, 2], [3, 4], [5, 6]], id="r"))
    assert answer.outputs["y"].tolist() == [[2, 4], [6, 8], [10, 12]]
    assert (answer.id, answer.model) == ("r", ModelRef("scale", 1))


async def test_a_batch_larger_than_the_models_is_split_and_stitched(
    open_house, repository, writers
):
    folder = writers.scale(repository)
    (folder / "config.pbtxt").write_text("max_batch_size: 4 dynamic_batching { }")
    house = await open_house()
    values = np.arange(22).reshape(11, 2)
    answer = await house.engine.infer(infer(values))
    assert np.array_equal(answer.outputs["y"], values * 2)
    assert answer.batch_size <= 4
    (stats,) = house.engine.model_statistics(SCALE)
    assert (stats.inference_count, stats.inference_stats.success.count) == (11, 1)


async def test_an_image(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    answer = await house.engine.segment(picture(options=SegmentOptions(mask_format=MaskFormat.RAW)))
    assert (answer.width_px, answer.height_px) == (24, 16)
    labels = answer.label_map.labels
    assert labels.shape == (16, 24)
    assert (labels[:, :10] == 0).all()
    assert (labels[:, 14:] == 1).all()
    assert {s.label_id: s.area for s in answer.label_map.segments} == {
        0: int((labels == 0).sum()),
        1: int((labels == 1).sum()),
    }
    assert answer.image_digest.startswith("sha256:")
    assert answer.model_digest.startswith("sha256:")
    assert answer.timings.decode_s > 0
    assert answer.timings.infer_s > 0
    assert answer.timings.post_s > 0


async def test_many_images_of_many_sizes_each_get_their_own_answer(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    rng = np.random.default_rng(0)
    requests = []
    for n in range(60):
        height, width = (int(4 * rng.integers(2, 8)) for _ in range(2))
        pixels = np.full((height, width, 3), 255 if n % 3 == 0 else 0, np.uint8)
        requests.append(SegmentRequest(ModelRef("bright"), RawImage(pixels), id=str(n)))
    answers = await asyncio.gather(*(house.engine.segment(r) for r in requests))
    for n, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        height, width = request.image.pixels.shape[:2]
        (segment,) = answer.label_map.segments
        assert (answer.id, segment.label_id, segment.area) == (
            str(n),
            int(n % 3 == 0),
            height * width,
        )
    assert house.admission.bytes_in_use == 0


async def test_encoded_images_in_place_of_the_tensor(open_house, repository, writers):
    import io

    from PIL import Image

    writers.bright(repository)
    house = await open_house()
    blobs = np.empty(2, dtype=object)
    for n, grey in enumerate((0, 255)):
        file = io.BytesIO()
        Image.new("RGB", (8 + 8 * n, 8), (grey,) * 3).save(file, "PNG")
        blobs[n] = file.getvalue()
    answer = await house.engine.infer(InferRequest(ModelRef("bright"), {"image": blobs}))
    assert answer.outputs["labels"].tolist() == [0, 1]
    assert answer.outputs["areas"].tolist() == [64, 128]
    assert answer.outputs["row_splits"].tolist() == [0, 1, 2]
    assert answer.outputs["image_size"].tolist() == [[8, 8], [8, 16]]


async def test_refusals(open_house, repository, writers):
    writers.scale(repository)
    writers.bright(repository)
    house = await open_house(max_bytes=50_000)
    engine = house.engine
    with pytest.raises(NotFound, match="unknown model: 'nothing'"):
        await engine.segment(picture("nothing"))
    with pytest.raises(Unsupported, match="takes tensors only"):
        await engine.segment(picture("scale"))
    with pytest.raises(InvalidInput, match="unexpected shape"):
        await engine.infer(infer([1, 2]))
    with pytest.raises(TooLarge):
        await engine.infer(infer(np.zeros((1, 100_000))))
    with pytest.raises(DeadlineExceeded):
        await engine.segment(picture(deadline=Deadline.after(-1)))
    with house.admission.permit(49_990), pytest.raises(Overloaded):
        await engine.infer(infer([[1, 2]]))
    assert house.admission.requests == 0
    text = house.metrics.render().decode()
    assert 'nv_inference_request_failure{model="scale",version="1",reason="REJECTED"} 1' in text


async def test_questions(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    engine = house.engine
    assert engine.live()
    assert engine.ready()
    assert engine.model_ready(ModelRef("bright"))
    assert not engine.model_ready(ModelRef("bright", 2))
    assert not engine.model_ready(ModelRef("nothing"))
    metadata = engine.model_metadata(ModelRef("bright"))
    assert (metadata.versions, metadata.platform) == (("1",), "onnxruntime_onnx")
    assert metadata.inputs[0].dims == (-1, 3, -1, -1)
    assert metadata.inputs[0].dtype is DataType.FP32
    assert engine.model_config(ModelRef("bright")).max_batch_size == 4
    assert engine.label_names(ModelRef("bright")) == ("dark", "bright")
    info = engine.segmentation_info(ModelRef("bright"))
    assert json.loads(json.dumps(info))["labels"] == ["dark", "bright"]
    assert {"name": "areas", "datatype": "INT64", "shape": [-1]} in info["answer_to_images"]
    assert engine.server_metadata().name == "segserve"
    with pytest.raises(NotFound):
        engine.model_statistics(ModelRef("nothing"))


async def test_draining_serves_and_stopping_refuses(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house()
    assert house.engine.model_ready(ModelRef("scale"))
    assert not house.engine.draining
    assert house.engine.accepting()
    heard = []
    house.engine.subscribe(lambda: heard.append(house.engine.ready()))
    house.engine.begin_drain()
    assert heard == [False]
    assert house.engine.draining
    assert not house.engine.accepting()
    assert not house.engine.model_ready(ModelRef("scale"))
    assert (await house.engine.infer(infer([[1, 2]]))).outputs["y"].tolist() == [[2, 4]]
    await house.engine.stop()
    with pytest.raises(ShuttingDown, match="Server is stopping"):
        await house.engine.infer(infer([[1, 2]]))
    assert house.engine.live()


async def test_bytes_tensors_of_one_element_a_row(open_house, repository):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["n", 1])],
    )
    path = repository / "text" / "1"
    path.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "model.onnx")
    house = await open_house()
    x = np.array([[b"a"], [b"bc"], [b""]], dtype=object)
    answer = await house.engine.infer(InferRequest(ModelRef("text"), {"x": x}))
    assert answer.outputs["y"].tolist() == x.tolist()


async def test_images_that_wait_to_be_decoded_are_bounded_in_bytes(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house(room_bytes=10_000)
    gate = threading.Event()
    busy = [
        asyncio.ensure_future(house.pool.run(gate.wait, priority=Priority.POST)) for _ in range(2)
    ]
    await asyncio.sleep(0.01)
    waits = asyncio.create_task(house.engine.segment(picture()))
    await asyncio.sleep(0.01)
    assert house.cpu.room.images == 1
    with pytest.raises(Overloaded, match="--cpu-queue-bytes"):
        await house.engine.segment(picture())
    gate.set()
    assert (await waits).label_map is not None
    await asyncio.gather(*busy)
    assert (house.cpu.room.images, house.cpu.room.bytes_in_use) == (0, 0)
    await house.engine.segment(picture())


async def test_bulk_requests_leave_room_at_the_door(open_house, repository, writers):
    writers.scale(repository)
    house = await open_house(max_bytes=100_000)
    values = np.zeros((1, 10_000), np.float32)
    with house.admission.permit(15_000):
        with pytest.raises(Overloaded, match="of 75000 bytes"):
            await house.engine.infer(infer(values, priority=2))
        await house.engine.infer(infer(values, priority=1))
