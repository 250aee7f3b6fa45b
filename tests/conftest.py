"""What every test may ask for: the clone's root, the goldens beside it."""

from pathlib import Path

import pytest

import segserve  # noqa: F401  opts out of telemetry before anything imports onnxruntime


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def goldens(repo_root: Path) -> Path:
    folder = repo_root.parent / "shared" / "goldens"
    if not folder.is_dir():
        pytest.skip("../shared/goldens is not there")
    return folder
