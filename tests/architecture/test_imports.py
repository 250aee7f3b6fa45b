"""Heavy imports open late and through one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "onnxruntime", "numba", "cv2", "skimage", "sklearn", "scipy", "onnx")
TORCH_DOORS = ("export", "training", "execution/torchscript.py")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["segserve.app", "segserve.__main__", "segserve.client"])
def test_heavy_modules_stay_out(module: str) -> None:
    loaded = loaded_after(f"import {module}")
    assert "segserve" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_segmenters_without_weights_open_with_their_models() -> None:
    code = "import segserve.app, sys; print('segserve.ops.classical' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"


def test_the_probe_sees_a_heavy_module() -> None:
    assert "onnx" in loaded_after("import onnx")


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_torch_has_three_doors(repo_root: Path) -> None:
    package = repo_root / "service" / "segserve"
    through_walls = [
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if not str(path.relative_to(package)).startswith(TORCH_DOORS)
        and "torch" in imported_names(path)
    ]
    assert through_walls == []


def test_ordinary_code_does_not_read_the_environment(repo_root: Path) -> None:
    package = repo_root / "service" / "segserve"
    readers = {
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    assert readers == {"__init__.py", "settings.py"}
