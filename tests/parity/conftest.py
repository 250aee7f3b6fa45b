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
