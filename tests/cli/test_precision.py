"""``segserve export --precision`` on the bundled model, and how it refuses."""

import re
import shutil

import pytest

from segserve.cli.main import main
from segserve.scenes import make_scene

Image = pytest.importorskip("PIL.Image", reason="needs the cpu extra: make demo")


def last_line(text: str) -> str:
    return text.rstrip("\n").splitlines()[-1]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_scene(seed, 240, 320).image).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize(("precision", "most_bytes"), [("fp16", 2.4e6), ("int8", 1.4e6)])
def test_the_bundled_model(repo_root, tmp_path, pictures, capsys, precision, most_bytes) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    source = repo_root / "model_repository" / "deeplabv3plus_demo"
    words = ["export", "--source", source, "--out", tmp_path, "--images", pictures]
    assert main([*map(str, words), "--precision", precision]) == 0
    written = tmp_path / f"deeplabv3plus_demo_{precision}"
    assert 1e5 < (written / "1" / "model.onnx").stat().st_size < most_bytes
    assert (written / "labels.txt").read_text() == (source / "labels.txt").read_text()
    said = last_line(capsys.readouterr().out)
    kept = float(said.partition("labels at least ")[2].split("%")[0])
    assert 97 < kept <= 100


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_bundled_detector(repo_root, tmp_path, pictures, capsys, precision) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    source = repo_root / "model_repository" / "yolact_demo"
    words = ["export", "--source", source, "--out", tmp_path, "--images", pictures]
    assert main([*map(str, words), "--precision", precision]) == 0
    written = tmp_path / f"yolact_demo_{precision}"
    assert (written / "1" / "model.onnx").is_file()
    told = (written / "config.pbtxt").read_text().splitlines()
    assert set(told[1:]) == set((source / "config.pbtxt").read_text().splitlines()[1:])
    said = last_line(capsys.readouterr().out)
    assert re.search(r"of [1-9]\d* detections at least \d+% of a picture's are near", said)
    assert "labels" not in said


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--source", "m"], 2, "--precision missing"),
        (["--source", "m", "--precision", "fp16", "--format", "torchscript"], 1, "expected onnx"),
        (["--source", "m", "--precision", "int8"], 1, "m/config.pbtxt is not there"),
        (["--precision", "int8"], 2, "RECIPE, --checkpoint missing"),
        (["yolakt", "--checkpoint", "x", "--precision", "fp16"], 2, "did you mean yolact"),
    ],
)
def test_wrong_usage(capsys, tmp_path, more, code, said) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    assert main(["export", "--out", str(tmp_path / "out"), *more]) == code
    assert said in last_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures(capsys, repo_root, tmp_path) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    shutil.copytree(repo_root / "model_repository" / "deeplabv3plus_demo", tmp_path / "m")
    words = ["export", "--source", str(tmp_path / "m"), "--out", str(tmp_path / "out")]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main([*words, "--precision", "fp16", "--images", str(empty)]) == 1
    assert "holds no .jpg" in last_line(capsys.readouterr().err)
