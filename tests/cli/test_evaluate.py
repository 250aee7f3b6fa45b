"""``segserve evaluate`` against real servers, and how it fails."""

import json

import pytest

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
        (["--dataset", "synthetic", "--limit", "0"], "'0' is not a whole number from 1 on"),
        (["--dataset", "synthetic", "--parameter", "crf_mode"], "'crf_mode' is not KEY=VALUE"),
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
