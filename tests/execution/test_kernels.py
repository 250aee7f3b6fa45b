"""Kernels are ready before a request needs them, and compiled beside the process that serves."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from segserve.execution import kernels
from segserve.execution.kernels import Kernels, compile_missing, main
from segserve.ops.warm import KernelGroup

COLD = """import json, sys
from segserve.execution.kernels import compile_missing
from segserve.ops.warm import NEEDS, KernelGroup, missing_groups
groups = (KernelGroup.SELECTIVE_SEARCH,)
print(json.dumps([compile_missing(groups, 2), [m for m in sys.modules if "felzenszwalb_k" in m],
                  [str(group) for group in missing_groups((*NEEDS[groups[0]], *groups))],
                  compile_missing(groups, 2)]))
"""
SIDE_BY_SIDE = """import json, sys
from concurrent.futures import ThreadPoolExecutor
from segserve.execution.kernels import Compilers, Kernels
from segserve.ops.warm import KernelGroup
compilers, codecs = Compilers(2), "PIL.PngImagePlugin" in sys.modules
with ThreadPoolExecutor(2) as threads:
    both = list(threads.map(compilers.compile, [[KernelGroup.RANDOM_WALKER]] * 2))
Kernels(2).ready([KernelGroup.RANDOM_WALKER])
print(json.dumps([sorted(both), codecs, "PIL.PngImagePlugin" in sys.modules]))
"""
STALE = """import json, sys
from segserve.execution.kernels import Kernels
from segserve.ops.warm import KernelGroup
warmed = Kernels(1).ready([KernelGroup(sys.argv[1])])
print(json.dumps([warmed.compiled > 0, warmed.stale]))
"""
WITHOUT_BLAS = """import json, sys
from segserve.execution.kernels import Kernels
from segserve.ops.warm import KernelGroup
Kernels(1).ready([KernelGroup.RUNS])
print(json.dumps(["numba.np.arraymath" in sys.modules, "scipy.linalg" in sys.modules]))
"""
STOPPED = """import json, threading
from segserve.core.errors import ShuttingDown
from segserve.execution.kernels import Kernels
from segserve.ops.warm import KernelGroup, missing_groups
kernels = Kernels(2)
threading.Timer(2.0, kernels.stop).start()
try:
    kernels.ready([KernelGroup.MASKS, KernelGroup.CRF])
    print(json.dumps("ready"))
except ShuttingDown:
    print(json.dumps(["ShuttingDown", *missing_groups([KernelGroup.MASKS])]))
"""
LATE = """import json, sys
from pathlib import Path
import numpy as np, onnxruntime
from segserve.core.messages import EncodedImage
from segserve.core.options import MaskFormat, OutputSize, Refine, SegmentOptions
from segserve.families.factory import build_family
from segserve.families.refinement import Refines
from segserve.ops.warm import warm_kernels
from segserve.repository.autocomplete import complete
from segserve.repository.pbtxt import parse_config
from segserve.execution.onnx import inspect_onnx

def kernels():
    return {name for name in sys.modules if name.endswith("_kernel")}

root = Path("model_repository")
image = EncodedImage(Path("docs/images/coffee.jpg").read_bytes())
late = {}
for name in sys.argv[1:]:
    file = root / name / "1" / "model.onnx"
    config = parse_config((root / name / "config.pbtxt").read_text(), source=name)
    config = complete(config, name, inspect_onnx(file), file.name)
    labels = tuple((root / name / "labels.txt").read_text().splitlines())
    family = build_family(config.parameters, labels, config.input_specs(), config.output_specs())
    warm_kernels(family.kernels)
    ready = kernels()
    options = SegmentOptions(score_threshold=None, min_area_px=4, top_k=50)
    plan = family.plan(image, options)
    rows = {n: np.zeros(shape, np.float32) for n, shape in plan.inputs_shapes.items()}
    family.preprocess(image, plan, rows)
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    answers = session.run(None, {n: row[None] for n, row in rows.items()})
    outputs = {n: np.atleast_1d(answer[0]) for n, answer in zip(names, answers)}
    found = family.postprocess(outputs, plan, options)
    assert found.regions is not None or found.label_map is not None
    if isinstance(family, Refines):
        for options in (SegmentOptions(mask_format=MaskFormat.PNG),
                        SegmentOptions(output_size=OutputSize.STRIDE)):
            family.postprocess(outputs, plan, options)
        refine = SegmentOptions(refine=Refine.DENSE_CRF)
        family.refine(image, outputs, plan, refine, stop=lambda: False)
    late[name] = sorted(kernels() - ready)
print(json.dumps(late))
"""


def run(program: str, *arguments: str, **environment: str) -> object:
    command = [*(f"{k}={v}" for k, v in environment.items()), sys.executable, "-c", program]
    done = subprocess.run(
        ["env", *command, *arguments], capture_output=True, text=True, check=True, timeout=240
    )
    return json.loads(done.stdout)


def test_children_compile_into_the_cache_of_this_process(tmp_path: Path) -> None:
    compiled, opened_here, missing, again = run(COLD, NUMBA_CACHE_DIR=str(tmp_path))
    assert compiled > 5
    assert opened_here == []
    assert missing == []  # nor what the group needs
    assert again == 0


def test_kernels_of_another_cpu_are_told_from_kernels_that_were_not_wanted_yet(tmp_path) -> None:
    folder = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(STALE, "random_walker", **folder) == [True, False]
    assert run(STALE, "random_walker", **folder) == [False, False]
    assert run(STALE, "runs", **folder) == [True, False]
    other = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert run(STALE, "runs", **folder, **other) == [True, True]


def test_two_that_ask_at_a_time_wait_for_one_compilation_and_codecs_are_open(tmp_path) -> None:
    compiled, open_before, open_after = run(SIDE_BY_SIDE, NUMBA_CACHE_DIR=str(tmp_path))
    assert compiled[0] == 0
    assert compiled[1] > 0
    assert not open_before
    assert open_after


@pytest.mark.parametrize(
    "models", [("deeplabv3plus_demo",), ("mask_rcnn_demo", "solov2_demo", "yolact_demo")], ids=str
)
def test_a_family_names_all_that_its_requests_call(models: tuple[str, ...]) -> None:
    pytest.importorskip("onnxruntime", reason="needs the cpu extra: make test")
    assert run(LATE, *models) == {name: [] for name in models}


def test_what_is_ready_is_not_made_ready_again() -> None:
    mine = Kernels(2)
    first = mine.ready([KernelGroup.IMAGES, KernelGroup.LABEL_MAPS])
    assert first is not None
    assert mine.ready([KernelGroup.LABEL_MAPS]) is None
    assert mine.ready([KernelGroup.OUTLINES]) is not None


def test_numba_does_not_open_a_blas_that_no_kernel_calls() -> None:
    assert run(WITHOUT_BLAS) == [True, False]


def test_a_child_that_fails_is_told(monkeypatch, caplog) -> None:
    monkeypatch.setattr(kernels, "missing_groups", lambda groups: groups)
    monkeypatch.setattr(kernels.sys, "executable", "/bin/false")
    with caplog.at_level(logging.WARNING):
        assert compile_missing([KernelGroup.CRF, KernelGroup.TEXTON], 1) == 0
    told = [r.error for r in caplog.records if r.message == "kernels_not_compiled_beside"]
    assert told == ["the compiling process ended with 1"] * 3  # texton needs k-means


def test_the_program_says_what_it_did(capsys) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("kernels compiled: ")


def test_stopping_ends_the_children_at_once(tmp_path: Path) -> None:
    started_s = time.monotonic()
    assert run(STOPPED, NUMBA_CACHE_DIR=str(tmp_path)) == ["ShuttingDown", "masks"]
    assert time.monotonic() - started_s < 15  # the kernels take half a minute


@pytest.mark.parametrize("step", ["ready", "compile"])
def test_numba_is_asked_by_one_thread_at_a_time(step):
    """Its registries fail two threads: now and then a model's load failed for it."""
    groups = (KernelGroup.RUNS,)
    asking = Kernels(1).ready if step == "ready" else kernels.Compilers(1).compile
    with kernels._NUMBA:
        thread = threading.Thread(target=asking, args=(groups,), daemon=True)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()
