"""Warm-up: every kernel is loaded, and says what that took."""

import subprocess
import sys
from pathlib import Path

import segserve
from segserve.ops.warm import warm_kernels


def test_second_time_is_quick() -> None:
    warm_kernels()
    assert warm_kernels().seconds < 1


def test_every_kernel_module_is_loaded() -> None:
    warm_kernels()
    package = Path(segserve.__file__).parent
    kernels = {
        ".".join(("segserve", *path.relative_to(package).with_suffix("").parts))
        for path in (package / "ops").rglob("*_kernel.py")
    }
    assert kernels
    assert kernels <= set(sys.modules)


def test_every_kernel_has_the_decorator_that_knows_the_cache() -> None:
    folder = Path(segserve.__file__).parent / "ops"
    wrong = [
        path.name
        for path in folder.rglob("*.py")
        if path.name != "kernel_cache.py"
        and ("cache=True" in path.read_text() or "numba import njit" in path.read_text())
    ]
    assert wrong == []


def test_importing_the_wrappers_leaves_numba_out() -> None:
    code = "import segserve.ops.warm, segserve.families.factory, sys; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
