"""Our own client and commands against a real server, whose answers are known to the pixel."""

import json

import numpy as np
import pytest
from PIL import Image

from segserve.cli.main import main
from segserve.client import (
    AsyncClient,
    Client,
    ErrorKind,
    MaskFormat,
    SegmentOptions,
    SegserveError,
    rle_to_mask,
)

LABELS = np.zeros((20, 30), np.uint8)
LABELS[12:] = 1
LABELS[:, 25:] = 2


@pytest.fixture
def address(compat_server):
    return compat_server.address("grpc")


@pytest.fixture
def client(address):
    with Client(address, timeout_s=60) as connected:
        yield connected


@pytest.mark.parametrize("mask_format", [None, MaskFormat.RLE, MaskFormat.PNG, MaskFormat.RAW])
def test_the_map_in_every_format(client, compat_photo, mask_format):
    result = client.segment(compat_photo, "colours", SegmentOptions(mask_format=mask_format))
    assert (result.model, result.version, result.width_px, result.height_px) == (
        "colours",
        1,
        30,
        20,
    )
    assert np.array_equal(result.label_map(), LABELS)
    assert [(s.label, s.area) for s in result.segments] == [
        ("red", 300),
        ("green", 200),
        ("blue", 100),
    ]
    for segment, mask in zip(result.segments, result.masks(), strict=True):
        assert np.array_equal(mask, segment.label_id == LABELS)
    assert result.image_digest.startswith("sha256:")
    assert result.model_digest.startswith("sha256:")
    assert result.timings.infer_s > 0


def test_pixels_are_the_same_image(client, compat_photo):
    with Image.open(compat_photo) as photo:
        pixels = np.asarray(photo)
    assert np.array_equal(client.segment(pixels, "colours").label_map(), LABELS)


def test_options_reach_the_model(client, compat_photo):
    def labels(**options):
        result = client.segment(compat_photo, "colours", SegmentOptions(**options))
        return [segment.label for segment in result.segments]

    assert labels(top_k=1) == ["red"]
    assert labels(min_area_px=200) == ["red", "green"]
    assert labels(label_ids=(2, 1)) == ["green", "blue"]
    bare = client.segment(compat_photo, "colours", SegmentOptions(mask_format=MaskFormat.NONE))
    assert all(segment.mask is None for segment in bare.segments)


@pytest.mark.parametrize(
    ("image", "model", "kind"),
    [
        (b"GIF89a", "colours", ErrorKind.INVALID_ARGUMENT),
        (None, "nothing", ErrorKind.NOT_FOUND),
        (None, "add_sub", ErrorKind.UNSUPPORTED),
        (None, "switch", ErrorKind.UNAVAILABLE),
    ],
)
def test_kinds_of_failure(client, compat_photo, image, model, kind):
    with pytest.raises(SegserveError) as caught:
        client.segment(image or compat_photo, model)
    assert caught.value.kind is kind, caught.value.message
    assert caught.value.message


def test_many_over_one_stream(client, compat_photo):
    pictures = [compat_photo.read_bytes(), b"GIF89a"] * 20
    answers = sorted(client.segment_many(pictures, "colours"), key=lambda answer: answer.index)
    assert [answer.index for answer in answers] == list(range(40))
    for answer in answers[::2]:
        assert np.array_equal(answer.result.label_map(), LABELS)
    assert {answer.error.kind for answer in answers[1::2]} == {ErrorKind.INVALID_ARGUMENT}


async def test_asyncio(address, compat_photo):
    async with AsyncClient(address) as client:
        result = await client.segment(compat_photo, "colours")
        assert np.array_equal(result.label_map(), LABELS)
        answers = [a async for a in client.segment_many([compat_photo] * 5, "colours")]
    assert sorted(answer.index for answer in answers) == list(range(5))
    assert all(answer.result.segments for answer in answers)


def test_the_segment_command(address, compat_photo, tmp_path, capsys):
    out = tmp_path / "out.png"
    words = [str(compat_photo), "--model", "colours", "--server", address]
    assert main(["segment", *words, "--json", "--overlay", str(out)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert document["regions"] == []
    assert [segment["label"] for segment in document["segments"]] == ["red", "green", "blue"]
    for segment in document["segments"]:
        assert np.array_equal(rle_to_mask(segment["mask"]), segment["label_id"] == LABELS)
    with Image.open(out) as overlay:
        assert overlay.height >= 20


def test_the_models_command(address, capsys):
    assert main(["models", "--server", address, "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["colours"]["state"] == "READY"
    assert models["colours"]["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}
    ]
