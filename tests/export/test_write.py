import json

import pytest

from segserve.core.errors import AlreadyExists, InvalidInput
from segserve.export.catalogue import find_recipe
from segserve.export.config_text import TORCHSCRIPT
from segserve.export.write import check_name, write_model

CONFIG = find_recipe("deeplabv3plus_resnet50").config()


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_exactly_three_files(tmp_path) -> None:
    repository = tmp_path / "not" / "there"
    path = write_model(repository, "m.1", b"graph", CONFIG)
    assert path == repository / "m.1"
    assert tree(repository) == ["m.1/1/model.onnx", "m.1/config.pbtxt", "m.1/labels.txt"]
    assert [p.name for p in repository.iterdir()] == ["m.1"], "nothing else is left"
    assert (path / "1" / "model.onnx").read_bytes() == b"graph"
    assert (path / "config.pbtxt").read_text().startswith('name: "m.1"\n')
    labels = (path / "labels.txt").read_text().splitlines()
    assert (labels[0], labels[20], len(labels)) == ("background", "tvmonitor", 21)


def test_a_torchscript_program_lies_beside_its_sidecar(tmp_path) -> None:
    path = write_model(tmp_path, "m", b"program", CONFIG, backend=TORCHSCRIPT)
    assert tree(path) == ["1/model.json", "1/model.pt", "config.pbtxt", "labels.txt"]
    assert (path / "1" / "model.pt").read_bytes() == b"program"
    assert 'backend: "pytorch"' in (path / "config.pbtxt").read_text()
    assert json.loads((path / "1" / "model.json").read_text()) == {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 21, -1, -1]}],
    }


def test_an_existing_model_is_replaced_only_when_asked(tmp_path) -> None:
    write_model(tmp_path, "m", b"old", CONFIG)
    with pytest.raises(AlreadyExists, match="--overwrite"):
        write_model(tmp_path, "m", b"new", CONFIG)
    assert (tmp_path / "m" / "1" / "model.onnx").read_bytes() == b"old"
    write_model(tmp_path, "m", b"new", CONFIG, overwrite=True)
    assert (tmp_path / "m" / "1" / "model.onnx").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_other_versions_and_files_are_never_lost(tmp_path) -> None:
    write_model(tmp_path, "m", b"old", CONFIG)
    (tmp_path / "m" / "2").mkdir()
    with pytest.raises(InvalidInput, match=r"more than version 1 \(2\)"):
        write_model(tmp_path, "m", b"new", CONFIG, overwrite=True)
    assert (tmp_path / "m" / "1" / "model.onnx").read_bytes() == b"old"


def test_a_symlink_is_not_followed(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "m").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="symlink"):
        write_model(tmp_path / "r", "m", b"new", CONFIG, overwrite=True)


def test_a_plain_file_in_the_way(tmp_path) -> None:
    (tmp_path / "m").write_text("mine")
    with pytest.raises(InvalidInput, match="not a directory"):
        write_model(tmp_path, "m", b"new", CONFIG, overwrite=True)
    assert (tmp_path / "m").read_text() == "mine"


def test_nothing_is_left_when_writing_fails(tmp_path) -> None:
    with pytest.raises(TypeError):
        write_model(tmp_path, "m", "no bytes", CONFIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "é", "a\n", "a.tmp"])
def test_names_that_are_no_directory_of_ours(name: str) -> None:
    with pytest.raises(InvalidInput, match="model name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "_x"])
def test_good_names(name: str) -> None:
    check_name(name)
