"""The client needs little, and shares a process with tritonclient."""

import subprocess
import sys

import pytest

GUARD = """
import sys

ALLOWED = {"grpc", "google", "numpy", "typing_extensions", "segserve", *sys.stdlib_module_names}


class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED or name.startswith("google.") and name.split(".")[1] != "protobuf":
            raise ModuleNotFoundError(f"the client may not import {name}", name=name)
        return None


sys.meta_path.insert(0, Guard())
"""
USE = """
import numpy as np
from segserve.client import Client, AsyncClient, SegmentOptions, mask_to_rle, rle_to_mask
assert rle_to_mask(mask_to_rle(np.eye(3))).sum() == 3
Client("localhost:1").close()
"""
CHECK = """
assert not any(name.startswith("segserve.generated.inference") for name in sys.modules)
ours = sorted(name for name in sys.modules if name.startswith("segserve."))
assert all(n.split(".")[1] in ("client", "core", "generated") for n in ours), ours
print("fine")
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_nothing_but_grpcio_protobuf_and_numpy():
    assert run(GUARD + USE + CHECK).endswith("fine\n")


def test_the_guard_refuses():
    with pytest.raises(AssertionError, match="may not import PIL"):
        run(GUARD + "import PIL")


TRITON = """
import numpy as np
import tritonclient.grpc as triton
given = triton.InferInput("x", [1], "FP32")
given.set_data_from_numpy(np.zeros(1, np.float32))
"""


@pytest.mark.parametrize("code", [USE + TRITON, TRITON + USE], ids=["ours first", "theirs first"])
def test_lives_beside_tritonclient(code):
    assert run(code + "print('fine')") == "fine\n"
