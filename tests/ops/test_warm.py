"""Warm-up: every kernel is loaded, and says what that took."""

import subprocess
import sys
from pathlib import Path

import segserve
from segserve.ops.classical.catalogue import SEGMENTERS
from segserve.ops.warm import NEEDS, KernelGroup, warm_kernels, with_needs


def test_second_time_is_quick() -> None:
    warm_kernels()
    assert warm_kernels().seconds < 1


def test_every_segmenter_is_a_group() -> None:
    assert {group for group in KernelGroup if group in SEGMENTERS} == set(SEGMENTERS)


def test_needs_stand_before_what_needs_them_and_are_told_in_full() -> None:
    order = list(KernelGroup)
    for group, needs in NEEDS.items():
        assert all(order.index(need) < order.index(group) for need in needs)
        assert all(set(NEEDS.get(need, ())) <= set(needs) for need in needs)
    wanted = with_needs([KernelGroup.TEXTON, KernelGroup.MASKS])
    assert wanted == tuple(
        map(KernelGroup, ["runs", "sets", "polygons", "masks", "kmeans", "texton"])
    )


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
