"""The bundled models are what the layout says."""

from pathlib import Path

from segserve.repository.pbtxt import parse_config

MAX_BUNDLED_BYTES = 5_000_000


def test_every_config_parses(repo_root: Path) -> None:
    configs = sorted((repo_root / "model_repository").glob("*/config.pbtxt"))
    assert configs
    for path in configs:
        config = parse_config(path.read_text(), source=str(path))
        assert config.name == path.parent.name


def test_bundled_weights_stay_small(repo_root: Path) -> None:
    sizes = {p: p.stat().st_size for p in (repo_root / "model_repository").rglob("*.onnx")}
    assert sizes
    assert {p: n for p, n in sizes.items() if n > MAX_BUNDLED_BYTES} == {}
