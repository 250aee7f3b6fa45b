"""One small network, exported once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def slim():
    """The demo network with fixed random weights, in evaluation mode."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from segserve.export.models.deeplabv3plus import deeplabv3plus

    with torch.random.fork_rng():
        torch.manual_seed(7)
        return deeplabv3plus("resnet_slim", 7).eval()


@pytest.fixture(scope="session")
def slim_graph(slim) -> bytes:
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.catalogue import find_recipe
    from segserve.export.to_onnx import to_onnx

    return to_onnx(slim, find_recipe("deeplabv3plus_demo"))


@pytest.fixture
def slim_checkpoint(slim, tmp_path: Path) -> Path:
    import torch

    path = tmp_path / "slim.pth"
    torch.save({"model_state": slim.state_dict()}, path)
    return path
