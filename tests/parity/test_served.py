"""The served answer, image bytes in and label map out, against the official label map."""

import shlex
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.cli.main import main  # noqa: E402
from segserve.client import Client  # noqa: E402
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402

MIN_AGREEMENT = 0.999
SAMPLE = "vainf_deeplabv3plus_mobilenet_os16"
FULL = [
    "vainf_deeplabv3plus_resnet50_os16",
    "vainf_deeplabv3plus_resnet50_os16_smooth",
    "vainf_deeplabv3plus_resnet101_os16",
]


@pytest.fixture(scope="module")
def export_command():
    """The README's command, without the program's name."""
    readme = Path(__file__).resolve().parents[2] / "README.md"
    (line,) = (
        n for n in readme.read_text().splitlines() if n.startswith(f"segserve export {SAMPLE} ")
    )
    return shlex.split(line)[1:]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [SAMPLE, *(pytest.param(name, marks=pytest.mark.parity) for name in FULL)]
)
def test_served_label_map(name, golden, serve, export_command, tmp_path, monkeypatch):
    official = golden(name)
    model = name.removesuffix("_smooth")
    words = [model if word == SAMPLE else word for word in export_command]
    weights = {key: torch.from_numpy(value) for key, value in official.weights().items()}
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state": weights}, words[words.index("--checkpoint") + 1])
    assert main(words) == 0
    repository = tmp_path / words[words.index("--out") + 1]
    server = serve("--model-repository", repository).wait_started()
    picture = official.folder.parent / "images" / "public.png"
    with Client(server.grpc) as client:
        raw = client.segment(picture, model, SegmentOptions(mask_format=MaskFormat.RAW))
        rle = client.segment(picture, model)
    agreement = float(np.mean(raw.label_map() == official.labels))
    print(f"{name} served: {agreement:.5%}")
    assert agreement >= MIN_AGREEMENT
    assert np.array_equal(rle.label_map(), raw.label_map())
