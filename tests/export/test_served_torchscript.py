"""A TorchScript program behind a real server, with and without a config."""

import json
import urllib.request

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.cli.main import main  # noqa: E402  after the skip
from segserve.client import Client  # noqa: E402  same
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.config_text import TORCHSCRIPT  # noqa: E402  same
from segserve.export.to_torchscript import to_torchscript  # noqa: E402  same
from segserve.export.write import write_model  # noqa: E402  same

DEMO = find_recipe("deeplabv3plus_demo")
RAW = SegmentOptions(mask_format=MaskFormat.RAW)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def repository(slim, tmp_path):
    """The model as exported, and its two files alone."""
    folder = tmp_path / "models"
    program = to_torchscript(slim, DEMO)
    written = write_model(folder, "full", program, DEMO.config(), backend=TORCHSCRIPT)
    bare = folder / "bare" / "1"
    bare.mkdir(parents=True)
    for name in ("model.pt", "model.json"):
        (bare / name).write_bytes((written / "1" / name).read_bytes())
    return folder


def test_the_server_answers_what_the_network_says(slim, repository, serve, capsys):
    assert main(["check", str(repository)]) == 0
    rows = {line.split()[0]: line.split()[2:] for line in capsys.readouterr().out.splitlines()}
    assert (rows["full"][:2], rows["bare"][:2]) == (["ok", "8"], ["ok", "4"])

    server = serve("--model-repository", repository).wait_started()
    # As large as a bucket, so that nothing is resized or padded.
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with Client(server.grpc) as client:
        served = client.segment(image, "full", RAW).label_map()
    pixels = torch.from_numpy(((image / 255 - MEAN) / STD).astype(np.float32))
    with torch.inference_mode():
        logits = slim(pixels.permute(2, 0, 1)[None])
        large = torch.nn.functional.interpolate(logits, (240, 320), mode="bilinear")
    assert np.mean(served == large[0].argmax(0).numpy()) > 0.999

    with urllib.request.urlopen(f"{server.http}/v2/models/bare", timeout=30) as answer:
        told = json.load(answer)
    assert told["platform"] == "pytorch_libtorch"
    assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 7, -1, -1]}]
