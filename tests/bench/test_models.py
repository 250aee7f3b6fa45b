"""`make bench-models`: one small model through all three sides, and what the parts promise."""

import json
import subprocess
import sys

import numpy as np
import pytest
from loadtests.model_side import Side, measure
from loadtests.models import bundled_recipes, rows, subjects

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from loadtests.graph_weights import fill_from_graph, read_weights  # noqa: E402
from loadtests.weights import fresh_weights, golden_weights, write_checkpoint  # noqa: E402

from segserve.core.errors import NotFound  # noqa: E402
from segserve.export.catalogue import find_recipe  # noqa: E402
from segserve.export.checkpoint import load_checkpoint  # noqa: E402
from segserve.export.compare import compare  # noqa: E402

DEMO = "deeplabv3plus_demo"


def test_one_model_is_measured(repo_root, tmp_path) -> None:
    out = tmp_path / "models.json"
    words = ["--quick", "--recipes", DEMO, "--threads", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.models", *words],
        cwd=repo_root,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {row["name"]: row for row in json.loads(out.read_text())}
    assert all(row["value"] > 0 for row in found.values())
    served, bare = found[f"{DEMO}, served"], found[f"{DEMO}, bare ONNX Runtime"]
    assert served["ratio"] == pytest.approx(served["value"] / bare["value"])
    assert served["goal"] == "ratio >= 0.9"
    assert f"{DEMO}, eager torch" in found  # with all of its own weights
    assert 1 < found[f"{DEMO}, parameters"]["value"] < 1.3
    assert f"{DEMO}, FLOPs at 240x320" in found
    assert str(out) in done.stdout


@pytest.mark.parametrize("name", [DEMO, "pointrend_semantic_demo", "solov2_demo"])
def test_weights_come_back_from_the_graph(repo_root, name) -> None:
    path = repo_root / "model_repository" / name / "1" / "model.onnx"
    model = find_recipe(name).build()
    assert fill_from_graph(model, read_weights(path)) == []
    noise = np.random.default_rng(0).standard_normal((1, 3, 96, 160), np.float32)
    found = compare(model, path.read_bytes(), {"image": noise})
    assert found.rms_error_std < 1e-3
    assert found.label_agreement > 0.999


def test_weights_that_a_graph_lacks_are_named() -> None:
    model = torch.nn.Linear(2, 3)
    assert fill_from_graph(model, {"weight": torch.ones(3, 2)}) == ["bias"]
    assert model.weight.tolist() == [[1.0, 1.0]] * 3


def test_every_thread_runs_at_least_once() -> None:
    ran = []
    done = measure(lambda: ran.append(1), threads=3, seconds=0.0)
    assert done.images == len(ran) >= 3


def test_rows_say_whose_the_weights_are() -> None:
    said = Side((1, 3, 64, 96), parameters=2_000_000, flops=3_000_000_000, unfilled=2)
    found = rows("m", {"eager": 2.0, "bare": 4.0, "served": 3.0}, said)
    assert [row.value for row in found] == [2.0, 3.0, 2.0, 4.0, 3.0]
    assert found[1].name == "m, FLOPs at 64x96"
    assert found[2].name == "m, eager torch, 2 weights not its own"
    assert [found[2].ratio, found[4].ratio] == [0.5, 0.75]
    assert found[4].verdict() == "short"


def test_a_golden_becomes_a_checkpoint(tmp_path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.json").write_text('{"value": 3}')
    fill = "import numpy\ndef build(m): return {'w': numpy.full((2, 2), m['value'], 'float32').T}\n"
    (tmp_path / "fill.py").write_text(fill)
    path = tmp_path / "checkpoints" / "m.pth"
    write_checkpoint(golden_weights(tmp_path / "m"), path)
    assert load_checkpoint(path)["w"].tolist() == [[3.0, 3.0]] * 2
    assert [p.name for p in path.parent.iterdir()] == ["m.pth"]


def test_fresh_weights_are_the_same_each_time_and_fit() -> None:
    first, second = (fresh_weights("deeplabv3plus_mobilenet") for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    find_recipe("deeplabv3plus_mobilenet").build().load_state_dict(first)


def test_an_unknown_recipe_is_refused(tmp_path) -> None:
    with pytest.raises(NotFound, match="no recipe 'nosuch'"):
        subjects(["nosuch"], tmp_path, tmp_path)


def test_an_alias_finds_the_model(tmp_path) -> None:
    (tmp_path / "vainf_deeplabv3plus_mobilenet_os16").mkdir()
    (subject,) = subjects(["deeplabv3plus_mobilenet"], tmp_path, tmp_path)
    assert subject.folder == tmp_path / "vainf_deeplabv3plus_mobilenet_os16"
    assert not subject.fresh


def test_bundled_models_are_found_by_their_graphs(repo_root) -> None:
    found = bundled_recipes(repo_root / "model_repository")
    assert DEMO in found
    assert "slic" not in found
