import json
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.deeplabv3plus_detectron2 import (  # noqa: E402  after the skip
    DeepLabWidths,
    Detectron2DeepLab,
    WindowedPyramid,
)

SLIM = DeepLabWidths((1, 1, 1, 3), stem=4, decoder=8, window=(2, 3))


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    manifest = goldens / "d2_deeplab_v3_plus_R103_os16" / "manifest.json"
    entries = json.loads(manifest.read_text())["entries"]
    with torch.device("meta"):
        state = Detectron2DeepLab(19).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {e["key"]: e["shape"] for e in entries}


def test_logits_at_stride_4_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    model = Detectron2DeepLab(5, SLIM).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
        assert model.backbone(images)[1].shape == (2, 128, 4, 6)
    assert together.shape == (2, 5, 16, 24)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_torchscript_computes_the_same() -> None:
    torch.manual_seed(0)
    model = Detectron2DeepLab(5, SLIM).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.script(model)
    with torch.inference_mode():
        for size in ((64, 96), (128, 64)):
            image = torch.randn(2, 3, *size)
            torch.testing.assert_close(program(image), model(image))


def test_the_pooled_branch_sees_a_window() -> None:
    pyramid = WindowedPyramid(3, 4, (2, 3))
    x = torch.randn(1, 3, 5, 7)
    means = pyramid.convs[4][0](x)
    torch.testing.assert_close(means, torch.nn.functional.avg_pool2d(x, (2, 3), stride=1))
    assert pyramid(x).shape == (1, 4, 5, 7)
