"""Warm-up: everything is loaded, and clear words when it cannot be."""

import subprocess
import sys
from pathlib import Path

import pytest

import segserve
from segserve.core.errors import BackendFailed
from segserve.ops import warm
from segserve.ops.warm import warm_kernels


def test_second_time_is_quick() -> None:
    warm_kernels()
    assert warm_kernels() < 1


def test_every_kernel_module_is_loaded() -> None:
    warm_kernels()
    folder = Path(segserve.__file__).parent / "ops"
    kernels = {f"segserve.ops.{path.stem}" for path in folder.glob("*_kernel.py")}
    assert kernels
    assert kernels <= set(sys.modules)


def test_importing_the_wrappers_leaves_numba_out() -> None:
    code = "import segserve.ops.warm, segserve.families.factory, sys; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_cache_that_cannot_be_written_is_named(monkeypatch) -> None:
    def fail() -> None:
        raise RuntimeError("cannot cache function 'f': no locator available")

    monkeypatch.setattr(warm, "_run_all", fail)
    with pytest.raises(BackendFailed, match="set NUMBA_CACHE_DIR"):
        warm_kernels()
