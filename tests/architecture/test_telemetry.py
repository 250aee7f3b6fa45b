"""Nothing is told to anybody: ONNX Runtime's telemetry stays off."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

WATCH_S = 3
RUN = f"""
import time
from pathlib import Path
import numpy as np
from segserve.execution.onnx import inspect_onnx
print(inspect_onnx(Path("model.onnx")))
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
until_s = time.monotonic() + {WATCH_S}
while time.monotonic() < until_s:
    session.run(None, {{"x": np.zeros(4, np.float32)}})
    time.sleep(0.05)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home with a model beside it."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model.onnx")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_no_trace_in_an_empty_home(home: Path) -> None:
    """CI=true would keep telemetry off by itself, and so is taken out of the environment."""
    clean = ["env", "-u", "CI", "-u", "ORT_DISABLE_TELEMETRY", f"HOME={home}"]
    done = subprocess.run(
        [*clean, sys.executable, "-c", RUN],
        cwd=home.parent,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    told = [p for p in home.rglob("*") if p.name == "deviceid" or "onnxruntime" in p.name]
    assert told == []
    assert not (home / ".cache" / "Microsoft").exists()


@pytest.mark.parametrize("given", ["0", None])
def test_an_operators_own_choice_is_left_alone(given: str | None) -> None:
    choice = (
        ["-u", "ORT_DISABLE_TELEMETRY"] if given is None else [f"ORT_DISABLE_TELEMETRY={given}"]
    )
    code = "import os, segserve; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        ["env", *choice, sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == (given or "1")


def test_image_opts_out(repo_root: Path) -> None:
    final_stage = (repo_root / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "ORT_DISABLE_TELEMETRY=1" in final_stage
