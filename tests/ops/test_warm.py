"""Warm-up: everything is loaded, and clear words when it cannot be."""

import subprocess
import sys
from pathlib import Path

import numba
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
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    with pytest.raises(BackendFailed, match="set NUMBA_CACHE_DIR"):
        warm_kernels()


def test_a_read_only_tree_compiles_into_a_folder_of_its_own(tmp_path) -> None:
    """As numba sees it where neither the package nor a home can be written."""
    code = (
        "import numba.core.caching as c\n"
        "from numba import config\n"
        "def refuse(cls, *a): return None\n"
        "for l in c.CacheImpl._locator_classes:\n"
        "    if l is not c.UserProvidedCacheLocator: l.from_function = classmethod(refuse)\n"
        "from segserve.ops.warm import warm_kernels\n"
        "warm_kernels(); print(config.CACHE_DIR)"
    )
    env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert run.stdout.strip().startswith(str(tmp_path / "segserve-kernels-"))
