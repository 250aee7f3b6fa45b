"""Weights, pictures and recorded outputs of the original programs."""

import importlib.util
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Golden:
    """One folder of the goldens."""

    folder: Path
    fill: ModuleType

    @property
    def manifest(self):
        return json.loads((self.folder / "manifest.json").read_text())

    @property
    def recorded(self):
        return np.load(self.folder / "public.npz")

    @property
    def labels(self):
        return np.asarray(Image.open(io.BytesIO(self.recorded["labels_png"].tobytes())))

    @property
    def image(self):
        return np.asarray(Image.open(self.folder.parent / "images" / "public.png").convert("RGB"))

    @property
    def probes(self) -> list[str]:
        return [n.removesuffix(".sample") for n in self.recorded.files if n.endswith(".sample")]

    def weights(self):
        """Give the checkpoint as arrays."""
        state = self.fill.build(self.manifest)
        assert self.fill.digest(state) == self.manifest["state_sha256"]
        return {key: np.array(value, order="C") for key, value in state.items()}

    def errors(self, probe: str, got) -> tuple[float, float]:
        """Largest and root-mean-square error of a tensor, in std of the recorded one."""
        sample = self.recorded[f"{probe}.sample"]
        assert tuple(self.recorded[f"{probe}.shape"]) == got.shape
        index = self.fill.sample_index(got.size, len(sample))
        error = (got.reshape(-1)[index] - sample) / self.recorded[f"{probe}.stats"][1]
        return float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))


RECORDED_ON_THREADS = 2


@pytest.fixture(autouse=True, scope="module")
def _recorded_threads():
    """Let torch share its sums out as when the goldens were recorded; it rounds by that."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(RECORDED_ON_THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden(goldens: Path):
    """Give the golden of a name."""
    spec = importlib.util.spec_from_file_location("fill", goldens / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return lambda name: Golden(goldens / name, fill)


DETECTORS = (
    "torchvision_maskrcnn_resnet50_fpn",
    "torchvision_maskrcnn_resnet50_fpn_smooth",
    "torchvision_maskrcnn_resnet50_fpn_v2",
    "d2_mask_rcnn_R50_FPN_3x",
    "d2_pointrend_rcnn_R50_FPN_3x",
    "d2_panoptic_fpn_R50_3x",
)


def detector_input(chosen):
    """Prepare the picture as the original detectors do, with the libraries that they use."""
    import torch

    if chosen.folder.name.startswith("torchvision"):
        image = torch.from_numpy(chosen.image.copy()).permute(2, 0, 1).float() / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        image = ((image - mean[:, None, None]) / std[:, None, None])[None]
        scale = min(800 / min(image.shape[2:]), 1333 / max(image.shape[2:]))
        image = torch.nn.functional.interpolate(
            image, scale_factor=scale, mode="bilinear", recompute_scale_factor=True
        )
    else:
        path = chosen.folder.parent / "resized" / "public_pil_800x1067.png"
        image = torch.from_numpy(np.asarray(Image.open(path).convert("RGB"))[..., ::-1].copy())
        image = (
            image.permute(2, 0, 1).float() - torch.tensor([103.53, 116.28, 123.675])[:, None, None]
        )
        image = image[None]
    height, width = image.shape[2:]
    padded = torch.nn.functional.pad(image, (0, -width % 32, 0, -height % 32))
    return {"image": padded.numpy(), "image_size": np.array([[height, width]], np.float32)}


@pytest.fixture(scope="module", params=DETECTORS)
def detector_case(request, golden):
    """A golden of a two-stage detector, its recipe, the filled network and the official input."""
    import torch

    from segserve.export.catalogue import find_recipe
    from segserve.export.checkpoint import match_state_dict

    chosen = golden(request.param)
    recipe = find_recipe(request.param.removesuffix("_smooth"))
    model = recipe.build()
    match_state_dict(model, {k: torch.from_numpy(v) for k, v in chosen.weights().items()})
    return chosen, recipe, model, detector_input(chosen)
