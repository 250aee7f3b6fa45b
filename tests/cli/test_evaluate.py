"""``segserve evaluate`` against real servers, and how it fails."""

import json

import pytest

from segserve.cli import demo
from segserve.cli.main import main

COMMAND = ["evaluate", "--model", "deeplabv3plus_demo"]


def last_line(text):
    return text.rstrip("\n").splitlines()[-1]


def test_a_running_server(serve, repo_root, capsys, tmp_path):
    flags = ("--model-control-mode", "explicit", "--load-model", "deeplabv3plus_demo")
    server = serve("--model-repository", repo_root / "model_repository", *flags).wait_started()
    scenes = ["--dataset", "synthetic", "--limit", "4", "--server", server.grpc]
    assert main([*COMMAND, *scenes, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mean_iou"] > 0.85
    assert 0.5 < told["mean_boundary_iou"] < told["mean_iou"]
    assert main([*COMMAND, *scenes]) == 0
    assert f"mean IoU             {told['mean_iou']:.4f}" in capsys.readouterr().out
    refined = ["--refine", "dense_crf", "--parameter", "crf_max_ms=60000"]
    assert main([*COMMAND, *scenes, *refined, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_iou"] not in (None, told["mean_iou"])
    late = ["--refine", "dense_crf", "--parameter", "crf_max_ms=0.001"]
    assert main([*COMMAND, *scenes, *late]) == 1
    assert "was not refined in time" in last_line(capsys.readouterr().err)
    assert main(["evaluate", "--model", "nosuch", *scenes]) == 1
    assert "nosuch" in last_line(capsys.readouterr().err)
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "JPEGImages" / "bad.jpg").write_bytes(b"x")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("bad\n")
    voc = ["--dataset", "voc", "--root", str(tmp_path), "--server", server.grpc]
    assert main([*COMMAND, *voc]) == 1
    assert "(image bad)" in last_line(capsys.readouterr().err)


def test_every_bundled_network_finds_what_is_in_scenes(serve, repo_root, capsys):
    repository = repo_root / "model_repository"
    names = sorted(folder.name for folder in repository.glob("*_demo"))
    flags = [word for name in names for word in ("--load-model", name)]
    server = serve("--model-repository", repository, "--model-control-mode", "explicit", *flags)
    scenes = ["--dataset", "synthetic", "--limit", "4", "--server", server.wait_started().grpc]
    found = {}
    for name in names:
        assert main(["evaluate", "--model", name, *scenes, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        found[name] = told["mask"]["ap50"] if "mask" in told else told["mean_iou"]
    assert {name: score for name, score in found.items() if score < 0.7} == {}
    assert {"deeplabv3plus_demo", "mask_rcnn_demo", "solov2_demo"} <= set(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "voc"], "--root missing: the folder of voc"),
        (["--dataset", "voc", "--root", ".", "--task", "instance"], "voc is for semantic"),
        (["--dataset", "synthetic", "--limit", "0"], "'0' is not a whole number from 1 to"),
        (["--dataset", "synthetic", "--parameter", "crf_mode"], "'crf_mode' is not NAME=VALUE"),
        (
            ["--dataset", "synthetic", "--task", "instance", "--refine", "dense_crf"],
            "--refine is for label maps",
        ),
        (["--dataset", "imagenet"], "invalid choice: 'imagenet'"),
    ],
)
def test_wrong_usage(capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        main([*COMMAND, *arguments])
    assert said in last_line(capsys.readouterr().err)


def test_a_wrong_folder_is_known_before_a_server_is_asked(capsys, tmp_path):
    arguments = ["--dataset", "coco", "--root", str(tmp_path), "--server", "localhost:1"]
    assert main([*COMMAND, *arguments]) == 1
    assert "instances_val2017.json is not there" in last_line(capsys.readouterr().err)


@pytest.fixture
def no_server(monkeypatch):
    """Fail when a server is started."""

    def start(*_):
        raise AssertionError("a server was started")

    monkeypatch.setattr(demo, "running_server", start)


@pytest.mark.parametrize(
    ("folders", "model", "said"),
    [
        (["slic"], "fcn", ": export it there (segserve export fcn --checkpoint FILE --out DIR)"),
        (["slic", "fcn_demo"], "fcn_dem", ": did you mean 'fcn_demo'? Or export it there"),
        (None, "fcn", ": export it there"),
    ],
)
def test_a_missing_model_is_known_before_a_server_is_started(
    no_server, capsys, tmp_path, folders, model, said
):
    repository = tmp_path / "models"
    for name in folders or ():
        (repository / name / "1").mkdir(parents=True)
    scenes = ["--dataset", "synthetic", "--model-repository", str(repository)]
    assert main(["evaluate", "--model", model, *scenes]) == 1
    line = last_line(capsys.readouterr().err).replace(str(repository), "DIR")
    assert line.startswith(f"segserve evaluate: no model '{model}' in DIR{said}")
    assert line.endswith("or name another folder with --model-repository")


def test_a_folder_that_holds_no_model_is_named_with_the_reason(no_server, capsys, tmp_path):
    (tmp_path / "fcn").mkdir()
    scenes = ["--dataset", "synthetic", "--model-repository", str(tmp_path)]
    assert main(["evaluate", "--model", "fcn", *scenes]) == 1
    said = last_line(capsys.readouterr().err)
    assert f"model 'fcn' in {tmp_path}: holds no model: neither config.pbtxt nor" in said
