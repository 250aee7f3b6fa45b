"""A checkpoint as TorchScript behind a real server, with and without a config."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.cli.main import main  # noqa: E402  same
from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.export.models.deeplabv3plus import deeplabv3plus  # noqa: E402  same

RAW = SegmentOptions(mask_format=MaskFormat.RAW)


@pytest.fixture
def repository(tmp_path):
    """The demo network with fixed random weights in both formats."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = deeplabv3plus("resnet_slim", 7).eval()
    checkpoint = tmp_path / "slim.pth"
    torch.save({"model_state": network.state_dict()}, checkpoint)
    for name in ("onnx", "torchscript"):
        arguments = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "models")]
        arguments += ["--name", name, "--format", name]
        assert main(["export", "deeplabv3plus_demo", *arguments]) == 0
    return tmp_path / "models"


def test_both_formats_answer_the_same(repository, serve, capsys):
    """Of random weights: labels whose two best logits are a rounding apart may differ."""
    bare = repository / "bare" / "1"
    bare.mkdir(parents=True)
    for name in ("model.pt", "model.json"):
        (bare / name).write_bytes((repository / "torchscript" / "1" / name).read_bytes())
    assert main(["check", str(repository)]) == 0
    rows = {line.split()[0]: line.split()[2:] for line in capsys.readouterr().out.splitlines()}
    assert rows["torchscript"] == rows["onnx"]
    assert rows["bare"][:2] == ["ok", "4"]

    server = serve("--model-repository", repository).wait_started()
    images = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
    with Client(server.grpc) as client:
        for image in images:
            maps = [client.segment(image, m, RAW).label_map() for m in ("onnx", "torchscript")]
            assert np.mean(maps[0] == maps[1]) > 0.999
