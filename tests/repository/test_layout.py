import os
from pathlib import Path

import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.layout import scan_repository, single_model


def test_models_and_what_is_beside_them(folders):
    folders.model("a", config='name: "a"', versions=(1, 10, 2))
    folders.model("b")
    folders.model("config_only", config="", versions=())
    folders.model("bad name")
    folders.model(".hidden")
    folders.model("c.tmp")
    folders.model("c.partial")
    (folders.model("d") / ".incomplete").touch()
    (folders.root / "docs").mkdir()
    (folders.root / "README.md").touch()
    scan = scan_repository(folders.root)
    assert set(scan.models) == {"a", "b", "config_only"}
    assert scan.models["a"].versions == (1, 2, 10)
    assert scan.models["a"].config_path == folders.root / "a" / "config.pbtxt"
    assert scan.models["b"].config_path is None
    assert set(scan.refused) == {"bad name"}
    assert set(scan.skipped) == {"d", "docs"}
    assert ".incomplete" in scan.skipped["d"]
    assert "neither config.pbtxt nor a version folder" in scan.skipped["docs"]


def test_folders_beside_the_versions_are_fine(folders):
    folder = folders.model("a")
    for name in ("warmup", "2.tmp", ".3", "v4"):
        (folder / name).mkdir()
    assert scan_repository(folders.root).models["a"].versions == (1,)


def test_a_version_with_leading_zeros_is_refused(folders):
    (folders.model("a") / "007").mkdir()
    assert "rename it, e.g. to '7'" in scan_repository(folders.root).refused["a"]


def test_a_model_that_leads_outside_is_refused(folders, tmp_path):
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    (folders.root / "a").symlink_to(outside)
    assert "outside the model repository" in scan_repository(folders.root).refused["a"]


def test_folders_that_cannot_be_read_are_refused_if_they_may_be_models(folders):
    locked = folders.root / "locked"
    locked.mkdir(mode=0o000)
    (folders.root / "lost+found").mkdir(mode=0o000)
    if os.access(locked, os.R_OK):
        pytest.skip("this user reads everything")
    folders.model("a")
    scan = scan_repository(folders.root)
    assert set(scan.models) == {"a"}
    assert "locked: cannot be read" in scan.refused["locked"]
    assert set(scan.skipped) == {"lost+found"}


def test_the_file_of_a_version(folders):
    folder = folders.model("a", versions=(1, 2))
    (folder / "2" / "model.onnx").unlink()
    (folder / "3" / "model.onnx").mkdir(parents=True)
    (folder / "3" / "model.onnx" / "model.onnx").touch()
    directory = scan_repository(folders.root).models["a"]
    assert directory.model_path(1, "") == folder / "1" / "model.onnx"
    assert directory.model_path(1, "other.onnx") is None
    assert directory.model_path(2, "") is None
    assert directory.model_path(3, "") == folder / "3" / "model.onnx" / "model.onnx"


def test_a_root_that_is_one_model_says_so(folders):
    with pytest.raises(LoadFailed, match="give --model-name"):
        scan_repository(folders.model("a", config=""))
    with pytest.raises(LoadFailed, match="is a file, not a folder of models: give --model-name"):
        scan_repository(folders.root / "a" / "1" / "model.onnx")
    with pytest.raises(LoadFailed, match="cannot be read"):
        scan_repository(folders.root / "nothing")


def test_a_bare_file_a_folder_with_one_and_a_model_s_folder(folders):
    folder = folders.model("a", config="", versions=(3,))
    found = single_model(folder, "named")
    assert (found.name, found.versions, found.bare_file) == ("named", (3,), None)

    bare = folders.root / "bare"
    bare.mkdir()
    for name in ("other.onnx", "model.onnx"):
        (bare / name).touch()
        found = single_model(bare, "named")
        assert found.versions == (1,)
        assert found.model_path(1, "") == bare / name
        assert single_model(bare / name, "named").model_path(1, "") == bare / name


def test_a_repository_is_not_one_model(folders):
    folders.model("a")
    assert single_model(folders.root, "named") is None


def test_several_model_files_are_ambiguous(folders):
    for name in ("b.onnx", "a.onnx"):
        (folders.root / name).touch()
    with pytest.raises(LoadFailed, match=r"got model files: a\.onnx, b\.onnx"):
        single_model(folders.root, "named")


def test_a_given_name_is_checked():
    with pytest.raises(LoadFailed, match="letters, digits"):
        single_model(Path("anything"), "a/b")
