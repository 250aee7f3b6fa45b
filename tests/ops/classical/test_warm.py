"""Every segmenter can be warmed, and its kernels are loaded by that."""

import subprocess
import sys

import pytest

from segserve.ops.classical.catalogue import SEGMENTERS
from segserve.ops.classical.warm import warm_segmenter


@pytest.mark.parametrize("name", SEGMENTERS)
def test_it_runs(name) -> None:
    warm_segmenter(name)


def test_only_what_is_served_is_loaded() -> None:
    code = (
        "import sys; from segserve.ops.classical.warm import warm_segmenter\n"
        "assert 'numba' not in sys.modules\n"
        "warm_segmenter('kmeans')\n"
        "print([m for m in sys.modules if m.endswith('_kernel')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package = "segserve.ops.classical"
    assert run.stdout.strip() == str([f"{package}.points_kernel", f"{package}.kmeans_kernel"])
