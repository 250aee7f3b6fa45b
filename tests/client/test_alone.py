"""The client needs little, and shares a process with tritonclient."""

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import segserve

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


def installed_with(name):
    """Give what `pip install name` brings: the distributions, without those of extras."""
    found, wanted = {}, [name]
    while wanted:
        current = wanted.pop()
        if current not in found:
            found[current] = distribution(current)
            needs = [need for need in found[current].requires or () if ";" not in need]
            wanted += [re.match(r"[\w.-]+", need)[0].lower() for need in needs]
    del found[name]
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Give a folder that holds the package, and what it cannot be installed without."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "google").mkdir()
    (folder / "segserve").symlink_to(Path(segserve.__file__).parent)
    for one in installed_with("segserve").values():
        for file in one.files:
            depth = 2 if file.parts[0] == "google" else 1
            link = folder.joinpath(*file.parts[:depth])
            if ".." not in file.parts and not link.exists():
                link.symlink_to(one.locate_file(Path(*file.parts[:depth])))
    return folder


def run(code, bare=None):
    alone = [] if bare is None else ["-I", "-S"]
    path = "" if bare is None else f"import sys; sys.path.append({str(bare)!r})\n"
    done = subprocess.run(
        [sys.executable, *alone, "-c", path + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_needs_grpcio_protobuf_and_numpy_alone(bare):
    assert set(installed_with("segserve")) <= {"grpcio", "numpy", "protobuf", "typing-extensions"}
    assert run(USE + CHECK, bare).endswith("fine\n")


@pytest.mark.parametrize("module", ["PIL", "onnxruntime", "pydantic", "google.rpc"])
def test_the_bare_environment_has_nothing_else(bare, module):
    run(f"import {module}")
    with pytest.raises(AssertionError, match="ModuleNotFoundError: No module named"):
        run(f"import {module}", bare)


TRITON = """
import numpy as np
import tritonclient.grpc as triton
given = triton.InferInput("x", [1], "FP32")
given.set_data_from_numpy(np.zeros(1, np.float32))
"""


@pytest.mark.parametrize("code", [USE + TRITON, TRITON + USE], ids=["ours first", "theirs first"])
def test_lives_beside_tritonclient(code):
    assert run(code + "print('fine')") == "fine\n"
