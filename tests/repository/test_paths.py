import os

import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.paths import inside_folder, resolve_inside


def test_links_inside_are_followed(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert resolve_inside(tmp_path / "b", tmp_path) == (tmp_path / "a").resolve()


def test_the_root_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert resolve_inside(tmp_path / "link" / "a", tmp_path / "link").name == "a"


def test_a_link_outside_is_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "a").symlink_to("../secret")
    with pytest.raises(LoadFailed, match=r"outside the model repository .*: copy the file"):
        resolve_inside(root / "a", root)


def test_neighbours_with_a_common_prefix_are_outside(tmp_path):
    for name in ("root", "root2"):
        (tmp_path / name).mkdir()
    with pytest.raises(LoadFailed, match="outside"):
        resolve_inside(tmp_path / "root2", tmp_path / "root")


def test_what_may_block_whoever_opens_it_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        with pytest.raises(LoadFailed, match=f"{name}: is neither a file nor a folder"):
            resolve_inside(tmp_path / name, tmp_path)


def test_loops_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "nothing", "\0"):
        with pytest.raises(LoadFailed, match="cannot be opened"):
            resolve_inside(tmp_path / name, tmp_path)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a\\b", "a\0b", "../x", "nothing"])
def test_names_that_configs_must_not_have(tmp_path, name):
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "x").write_text("x")
    with pytest.raises(LoadFailed, match=r"^the field: "):
        inside_folder(folder, name, root=folder, field="the field")


def test_a_name_that_stays_inside(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "x").write_text("x")
    found = inside_folder(tmp_path / "m", "../x", root=tmp_path, field="f")
    assert found == (tmp_path / "x").resolve()
