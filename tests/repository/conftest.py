"""Model folders with the smallest bytes that look like a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

MODEL = b"\x08\x08"  # ir_version: 8, and nothing else


@dataclass(frozen=True)
class Folders:
    """Writes model folders below a root."""

    root: Path

    def model(self, name, config=None, versions=(1,), labels=None, content=MODEL):
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        if config is not None:
            (folder / "config.pbtxt").write_text(config)
        if labels is not None:
            (folder / "labels.txt").write_text(labels)
        for version in versions:
            (folder / str(version)).mkdir(exist_ok=True)
            (folder / str(version) / "model.onnx").write_bytes(content)
        return folder


@pytest.fixture
def folders(tmp_path) -> Folders:
    root = tmp_path / "repository"
    root.mkdir()
    return Folders(root)
