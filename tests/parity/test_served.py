"""The served answer, image bytes in and label map out, against the official label map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.client import Client  # noqa: E402
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402
from segserve.export.catalogue import find_recipe  # noqa: E402
from segserve.export.run import Destination, export_checkpoint  # noqa: E402

MIN_AGREEMENT = 0.999
SAMPLE = "vainf_deeplabv3plus_mobilenet_os16"
FULL = [
    "vainf_deeplabv3plus_resnet50_os16",
    "vainf_deeplabv3plus_resnet50_os16_smooth",
    "vainf_deeplabv3plus_resnet101_os16",
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [SAMPLE, *(pytest.param(name, marks=pytest.mark.parity) for name in FULL)]
)
def test_served_label_map(name, golden, serve, tmp_path):
    official = golden(name)
    checkpoint = tmp_path / "official.pth"
    weights = {key: torch.from_numpy(value) for key, value in official.weights().items()}
    torch.save({"model_state": weights}, checkpoint)
    recipe = find_recipe(name.removesuffix("_smooth"))
    repository = tmp_path / "models"
    export_checkpoint(recipe, checkpoint, Destination(repository, "m"))
    server = serve("--model-repository", repository).wait_started()
    picture = official.folder.parent / "images" / "public.png"
    with Client(server.grpc) as client:
        raw = client.segment(picture, "m", SegmentOptions(mask_format=MaskFormat.RAW))
        rle = client.segment(picture, "m")
    agreement = float(np.mean(raw.label_map() == official.labels))
    print(f"{name} served: {agreement:.5%}")
    assert agreement >= MIN_AGREEMENT
    assert np.array_equal(rle.label_map(), raw.label_map())
